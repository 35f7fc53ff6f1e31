/* Intel IPP's filters over tiles of rows in threads. `ipp.py` has it compiled when the benchmark asks for it. */

#include <ipp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CHANNELS 3
#define MOST_THREADS 256

enum { DENSE, GAUSSIAN, BOX };

typedef struct {
  const unsigned char *source;
  unsigned char *target;
  int rows, columns, type;     /* an IppDataType */
  int kind, side;              /* of the square kernel */
  const Ipp16s *whole;         /* weights over a divisor, or NULL */
  const Ipp32f *weights;
  int divisor;
  float sigma;
  int tile;                    /* rows */
  atomic_int next;
  atomic_int failed;
} Work;

static int bytes_of(int type) { return type == ipp8u ? 1 : type == ipp16u ? 2 : 4; }

#define CALL(name, last)                                                                                        \
  (w->type == ipp8u    ? ippi##name##_8u_C3R((const Ipp8u *)from, step, (Ipp8u *)to, step, roi, last(Ipp8u))     \
   : w->type == ipp16u ? ippi##name##_16u_C3R((const Ipp16u *)from, step, (Ipp16u *)to, step, roi, last(Ipp16u)) \
                       : ippi##name##_32f_C3R((const Ipp32f *)from, step, (Ipp32f *)to, step, roi, last(Ipp32f)))
#define DENSE_ARGS(type) border, (const type *)NULL, (IppiFilterBorderSpec *)spec, buffer
#define BOX_ARGS(type) mask, border, (const type *)NULL, buffer
#define GAUSSIAN_ARGS(type) (type *)nothing, (IppFilterGaussianSpec *)spec, buffer

static void *some_tiles(void *given) {
  Work *w = given;
  int step = w->columns * CHANNELS * bytes_of(w->type), spec_bytes = 0, buffer_bytes = 0;
  IppiSize mask = {w->side, w->side}, most = {w->columns, w->tile};
  Ipp32f nothing[CHANNELS] = {0};
  int weights_type = w->whole ? ipp16s : ipp32f;
  IppStatus status =
      w->kind == DENSE ? ippiFilterBorderGetSize(mask, most, w->type, weights_type, CHANNELS, &spec_bytes, &buffer_bytes)
      : w->kind == BOX ? ippiFilterBoxBorderGetBufferSize(most, mask, w->type, CHANNELS, &buffer_bytes)
                       : ippiFilterGaussianGetBufferSize(most, w->side, w->type, CHANNELS, &spec_bytes, &buffer_bytes);
  /* whole weights under a tile with rows above and below write 2,769 bytes beyond 11,231 (2026.1) */
  Ipp8u *spec = ippsMalloc_8u(spec_bytes + 64), *buffer = ippsMalloc_8u(2 * buffer_bytes + 64);
  if (status == ippStsNoErr && w->kind == DENSE)
    status = w->whole ? ippiFilterBorderInit_16s(w->whole, mask, w->divisor, w->type, CHANNELS, ippRndFinancial,
                                                 (IppiFilterBorderSpec *)spec)
                      : ippiFilterBorderInit_32f(w->weights, mask, w->type, CHANNELS, ippRndFinancial,
                                                 (IppiFilterBorderSpec *)spec);
  for (int top; status == ippStsNoErr && (top = atomic_fetch_add(&w->next, w->tile)) < w->rows;) {
    int end = top + w->tile < w->rows ? top + w->tile : w->rows;
    IppiSize roi = {w->columns, end - top};
    /* rows above and below a tile are there, but for the picture's first and last */
    IppiBorderType border = ippBorderRepl | (top ? ippBorderInMemTop : 0) | (end < w->rows ? ippBorderInMemBottom : 0);
    const unsigned char *from = w->source + (size_t)top * step;
    unsigned char *to = w->target + (size_t)top * step;
    if (w->kind == GAUSSIAN) {
      status = ippiFilterGaussianInit(roi, w->side, w->sigma, border, w->type, CHANNELS, (IppFilterGaussianSpec *)spec,
                                      buffer);
      if (status == ippStsNoErr) status = CALL(FilterGaussianBorder, GAUSSIAN_ARGS);
    } else
      status = w->kind == BOX ? CALL(FilterBoxBorder, BOX_ARGS) : CALL(FilterBorder, DENSE_ARGS);
  }
  if (status != ippStsNoErr) atomic_store(&w->failed, status);
  ippsFree(spec);
  ippsFree(buffer);
  return NULL;
}

int filter(const void *source, void *target, int rows, int columns, int bytes, int kind, int side, const Ipp16s *whole,
           const Ipp32f *weights, int divisor, float sigma, int tile, int threads) {
  Work work = {source, target, rows, columns, bytes == 1 ? ipp8u : bytes == 2 ? ipp16u : ipp32f,
               kind,   side,   whole, weights, divisor, sigma, tile};
  pthread_t others[MOST_THREADS];
  int started = 1;
  while (started < threads && started < MOST_THREADS && !pthread_create(&others[started], NULL, some_tiles, &work))
    started++;
  some_tiles(&work);
  while (--started > 0) pthread_join(others[started], NULL);
  return work.failed;
}

void begin(void) { ippInit(); }
