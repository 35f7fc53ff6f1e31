"use strict";
// The sum of one sample, step by step, as the direct method adds it: page/sums.py says what the parts are.

const narrow = Math.fround, wide = x => x;
const at = (array, row, column, channel) =>
  array.values[(row * array.shape[1] + column) * array.shape[2] + channel];

function sumOf(sum, region, row, column, channel) {
  const output = sum.outputs[channel], round = sum.sums === "float32" ? narrow : wide;
  const top = row * region.step[0], left = column * region.step[1];
  const height = sum.planes[0].length, width = sum.planes[0][0].length;
  const [size, first] = [region.size, region.first];
  const leaves = first[0] + top < 0 || first[0] + top + height > size[0]
    || first[1] + left < 0 || first[1] + left + width > size[1];
  const under = at(region.before, top + sum.anchor[0], left + sum.anchor[1], output.copied ?? output.terms[0][0]);
  if ("copied" in output) return finish(sum, {copied: under, why: "this channel is not filtered", value: under}, null);
  const bias = output.bias ?? 0;
  if (sum.border === "keep" && leaves) {
    const value = bias ? round(under + bias) : under;
    return finish(sum, {copied: under, bias, why: "its window leaves the picture, and border keep copies it", value}, bias ? channel : null);
  }
  const blocks = output.terms.map(([from, plane], place) => {
    const rows = [], weights = sum.planes[plane];
    const known = (i, j) => region.maps[0][top + i] >= 0 && region.maps[1][left + j] >= 0 && !Number.isNaN(at(region.before, top + i, left + j, from));
    const part = sum.border === "renormalize" && weights.some((line, i) => line.some((_, j) => !known(i, j)));
    const base = place || part ? 0 : sum.offset + (sum.half_first ? 0.5 : 0);
    let total = round(base), inside = 0, all = 0;
    const order = [...Array(height).keys()];
    if (!sum.in_order) order.reverse();
    for (const i of order) {
      const taps = [];
      let partial = null, weightsInside = null;
      for (let j = 0; j < width; j++) {
        const weight = round(round(weights[i][j]) / round(sum.scale)), [a, b] = [top + i, left + j];
        const outside = region.maps[0][a] < 0 || region.maps[1][b] < 0;
        const made = first[0] + a < 0 || first[0] + a >= size[0] || first[1] + b < 0 || first[1] + b >= size[1];
        const value = round(outside ? sum.outside : at(region.before, a, b, from));
        const used = weight !== 0 && !(part && !known(i, j));
        taps.push({value, weight: weights[i][j], made, used});
        all += weight;
        if (!used) continue;
        const product = round(weight * value);
        if (sum.in_order) total = round(total + product);
        partial = partial === null ? product : round(partial + product);
        weightsInside = weightsInside === null ? weight : round(weightsInside + weight);
      }
      if (partial !== null && !sum.in_order) total = round(total + partial);
      if (weightsInside !== null) inside = round(inside + weightsInside);
      rows.push({i, taps, partial, total});
    }
    if (part) { // only what is known counts, rescaled
      total = inside === 0 ? (sum.whole ? 0 : NaN) : round(total * (all / inside));
      total = round(total + (place ? 0 : sum.offset));
    }
    return {from, rows, base, total, part, inside, all};
  });
  let value = blocks.reduce((before, block) => before === null ? block.total : round(before + block.total), null);
  if (bias) value = round(value + bias);
  return finish(sum, {blocks, bias, value}, channel);
}

// what becomes of the sum: --after, rounding, clipping
function finish(sum, made, channel) {
  const steps = [], round = sum.sums === "float32" ? narrow : wide;
  let value = made.value;
  const say = (name, next) => { value = next; steps.push([name, value]); };
  if (channel !== null && channel !== sum.alpha) {
    if (sum.after === "abs") say("the magnitude (after abs)", Math.abs(value));
    if (sum.after === "relu") say("nothing below 0 (after relu)", Math.max(value, 0));
    if (sum.after === "offset128") say(`plus ${sum.middle} (after offset128)`, round(value + sum.middle));
  }
  made.unrounded = value;
  if (sum.whole && channel !== null) {
    if (sum.rounding === "wrap") {
      say("cut toward 0", Math.trunc(value));
      const range = sum.high - sum.low + 1, inside = sum.low + (((value - sum.low) % range) + range) % range;
      if (inside !== value) say(`modulo the range ${sum.low} to ${sum.high}`, inside);
    } else {
      if (sum.rounding === "half-even") {
        const near = Math.round(value);
        say("rounded, half to even", Math.abs(value % 1) === 0.5 && near % 2 ? near - 1 : near);
      } else if (sum.half_first) say("cut down to a whole number (the half is in the sum)", Math.floor(value));
      else say("rounded half up", Math.floor(round(value + 0.5)));
      const inside = Math.min(Math.max(value, sum.low), sum.high);
      if (inside !== value) say(`clipped to ${sum.low} … ${sum.high}`, inside);
    }
  }
  return {...made, steps, result: value};
}
