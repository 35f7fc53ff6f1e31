// The page: what each part of it shows, and what can be done with it.

const data = JSON.parse(document.getElementById("data").textContent);

// an element with attributes and children; text is never read as HTML
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "text", "line", "rect", "g"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes))
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  element.append(...children.filter(child => child !== null));
  return element;
}

function number(x, digits = 6) {
  if (!isFinite(x)) return Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf";
  return String(Number.isInteger(x) ? x : Number(x.toPrecision(digits))).replace("-", "−");
}
const count = x => x.toLocaleString("en");
const share = (part, all) => all ? number(100 * part / all, 3) + " %" : "0 %";
const facts = rows => make("dl", {}, ...rows.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
// a table that scrolls by itself where it is too wide
const table = (caption, ...rows) => make("figure", {}, make("figcaption", {}, caption),
  make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": caption}, make("table", {"aria-label": caption}, ...rows)));
const choice = (name, options, change) => {
  const select = make("select", {onchange: () => change(Number(select.value))},
    ...options.map((text, value) => make("option", {value}, text)));
  return [make("label", {}, name, select), select];
};

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.data), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const kind = {uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array,
    int32: Int32Array, float32: Float32Array, float64: Float64Array}[packed.type];
  return {shape: packed.shape, values: new kind(await new Response(stream).arrayBuffer())};
}
// ---- parts of a section

function compareStage(s) {
  const stage = make("div", {class: "stage" + (s.scale === 1 ? " pixels" : "")});
  const [rows, columns] = s.size;
  stage.style.width = `${Math.max(columns / s.scale, Math.min(640, 420 * columns / rows))}px`;
  const before = make("img", {src: s.before, alt: `${s.title}, before`}), after = make("img", {src: s.after, alt: `${s.title}, after`});
  const bar = make("div", {class: "bar"});
  const tags = [make("span", {class: "tag", style: "left:8px"}, "before"), make("span", {class: "tag", style: "right:8px"}, "after")];
  const slider = make("input", {type: "range", min: 0, max: 100, value: 50, oninput: () => set(slider.value)});
  function set(part) {
    slider.value = part;
    after.style.clipPath = `inset(0 0 0 ${part}%)`;
    bar.style.left = `${part}%`;
    slider.setAttribute("aria-valuetext", `${part} % before, ${100 - part} % after`);
  }
  const drag = event => {
    if (event.type === "pointerdown") stage.setPointerCapture(event.pointerId);
    if (event.buttons & 1) set(Math.round(100 * Math.min(1, Math.max(0, (event.clientX - stage.getBoundingClientRect().left) / stage.clientWidth))));
  };
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  stage.append(before, after, bar, ...tags);
  set(50);
  return {stage, slider, control: make("label", {}, "Before, after", slider)};
}

function differenceStage(s) {
  const image = make("img", {src: s.difference, alt: `${s.title}: where before and after differ, brighter where more`});
  const stage = make("div", {class: "stage" + (s.scale === 1 ? " pixels" : ""), style: "cursor:default;background:#000"}, image);
  const gains = [1, 2, 4, 8, 16, 32, 64];
  const note = make("span", {class: "soft", "aria-live": "polite"});
  const set = place => {
    image.style.filter = `brightness(${gains[place]})`;
    note.textContent = `white is a difference of ${number(s.largest / gains[place], 3)} or more${s.dtype === "uint8" ? " levels" : ""}`;
  };
  const [label] = choice("Amplified", gains.map(gain => `${gain} ×`), set);
  set(0);
  return {stage, control: make("span", {class: "row"}, label, note)};
}

function views(s) {
  const compared = compareStage(s), stages = [compared];
  if (s.difference) stages.push(differenceStage(s));
  const buttons = ["Before and after", "Difference"].slice(0, stages.length).map((text, place) =>
    make("button", {type: "button", "aria-pressed": place === 0, onclick: () => show(place)}, text));
  if (stages[1]) stages[1].stage.style.width = compared.stage.style.width;
  const box = make("div", {}, ...(stages.length > 1 ? [make("div", {class: "row"}, ...buttons)] : []));
  for (const {stage, control} of stages) box.append(stage, make("div", {class: "row"}, control));
  function show(place) {
    buttons.forEach((button, n) => button.setAttribute("aria-pressed", n === place));
    stages.forEach(({stage, control}, n) => { stage.hidden = n !== place; control.hidden = n !== place; control.style.display = n === place ? "" : "none"; });
  }
  show(0);
  return {box, stage: compared.stage};
}

function histogram(s) {
  const colours = s.histograms[0].length >= 3 ? ["--red", "--green", "--blue", "--soft"] : ["--ink", "--soft"];
  const names = s.histograms[0].length >= 3 && s.letters.startsWith("RGB") ? ["red", "green", "blue", "alpha"] : null;
  const draw = (counts, place) => {
    const highest = Math.max(1, ...counts.flatMap(channel => channel.slice(1, -1)), ...counts.map(c => Math.min(c[0], c[255]))) ;
    const svg = make("svg", {viewBox: "0 0 280 130", role: "img", "aria-label": `Histogram ${place ? "after" : "before"}; the table below has its ends`},
      make("line", {x1: 12, y1: 110, x2: 268, y2: 110, class: "axis"}));
    counts.forEach((channel, n) => {
      const path = channel.map((c, x) => `${x ? "L" : "M"}${12 + x},${(110 - 100 * Math.sqrt(Math.min(c, highest) / highest)).toFixed(1)}`).join("");
      svg.append(make("path", {d: path, style: `stroke:var(${colours[n % colours.length]});fill:none;stroke-width:1.3`}));
    });
    const [low, high] = s.ends[place];
    svg.append(make("text", {x: 12, y: 125}, number(low, 4)), make("text", {x: 268, y: 125, "text-anchor": "end"}, number(high, 4)));
    return make("figure", {}, svg, make("figcaption", {}, `${place ? "After" : "Before"}; heights are square roots of counts`));
  };
  const rows = s.histograms[1].map((after, n) => {
    const before = s.histograms[0][n], total = c => c.reduce((a, b) => a + b, 0);
    const name = names ? names[n] : s.histograms[1].length > 1 ? `channel ${n}` : "all";
    const cells = [before && before[0], after[0], before && before[255], after[255]]
      .map((c, place) => make("td", {}, c === undefined ? "–" : share(c, total(place % 2 ? after : before))));
    return make("tr", {}, make("th", {scope: "row"}, name), ...cells);
  });
  const head = ["", "lowest, before", "lowest, after", "highest, before", "highest, after"];
  return make("div", {}, make("h2", {}, "Histograms"),
    s.clipped === null ? "" : make("p", {}, `Clipped: ${count(s.clipped)} of ${count(s.samples)} samples (${share(s.clipped, s.samples)}) were outside the range and cut to it.`),
    make("div", {class: "pair"}, ...s.histograms.map(draw)),
    table("Samples in the lowest and the highest of 256 parts of the range",
      make("thead", {}, make("tr", {}, ...head.map(text => text ? make("th", {scope: "col"}, text) : make("td")))), make("tbody", {}, ...rows)));
}

// ---- true pixels: two canvases with one cursor

function pixels(s, stage) {
  if (!("DecompressionStream" in window)) return make("p", {class: "warn"}, "This browser is too old to unpack the samples of single pixels.");
  if (!s.regions.length) return make("p", {class: "soft"}, `No single samples are shown: ${s.why}.`);
  let region = null, cursor = [0, 0], channel = 0, zoom = 24, origin = [0, 0];
  const frame = make("div", {class: "frame"});
  stage.append(frame);
  const canvases = ["before", "after"].map(name => make("canvas", {role: "img", "aria-label": `Pixels ${name}`}));
  const said = make("output", {"aria-live": "polite"}), sums = make("div", {class: "sums"});
  const zoomer = make("input", {type: "range", min: 1, max: 64, value: zoom, "aria-valuetext": `${zoom} screen pixels a pixel`,
    oninput: () => { zoom = Number(zoomer.value); zoomer.setAttribute("aria-valuetext", `${zoom} screen pixels a pixel`); centre(); draw(); }});
  const [regionLabel] = choice("Part", s.regions.map(r => r.name), open);
  const pad = make("div", {class: "pair detail", tabindex: 0, role: "application", "aria-roledescription": "pixel viewer",
    "aria-label": "Pixels: arrows move the cursor, with shift by ten; plus and minus zoom"},
    ...canvases.map((canvas, n) => make("figure", {}, canvas, make("figcaption", {}, n ? "After" : "Before; the window of the kernel is outlined, what the border makes up is struck through"))));
  const box = make("div", {}, make("h2", {}, "Pixels"),
    make("p", {class: "soft"}, s.regions.length > 1 || s.regions[0].name !== "the whole result"
      ? "These are true samples of parts of the picture, which are framed above; the pictures above are scaled and compressed previews."
      : "These are the true samples of all of the result."),
    make("div", {class: "row"}, s.regions.length > 1 ? regionLabel : "", make("label", {}, "Zoom", zoomer)), pad,
    make("p", {}, said), make("h2", {}, "The sum of one sample"), sums);

  async function open(place) {
    const given = s.regions[place];
    region = {...given, before: await unpack(given.before), after: await unpack(given.after)};
    const [rows, columns] = s.result_size, [height, width] = region.after.shape;
    Object.assign(frame.style, {left: `${100 * given.at[1] / columns}%`, top: `${100 * given.at[0] / rows}%`,
      width: `${100 * width / columns}%`, height: `${100 * height / rows}%`});
    frame.hidden = width >= columns && height >= rows;
    zoom = Math.min(64, Math.max(zoom, Math.floor(Math.min(canvases[0].clientWidth / width, canvases[0].clientHeight / height))));
    zoomer.value = zoom;
    const corner = given.at.join() === "0,0" && s.regions.length > 1;
    move(corner ? 0 : height >> 1, corner ? 0 : width >> 1);
    centre(); draw();
  }
  const limit = (value, size) => Math.min(Math.max(value, 0), size - 1);
  function move(row, column) {
    cursor = [limit(row, region.after.shape[0]), limit(column, region.after.shape[1])];
    tell();
  }
  const seen = canvas => [canvas.clientHeight / zoom, canvas.clientWidth / zoom];
  function centre() { origin = seen(canvases[0]).map((size, axis) => cursor[axis] + 0.5 - size / 2); }
  function follow() {
    seen(canvases[0]).forEach((size, axis) => {
      if (cursor[axis] < origin[axis]) origin[axis] = cursor[axis];
      if (cursor[axis] + 1 > origin[axis] + size) origin[axis] = cursor[axis] + 1 - size;
    });
  }
  const anchor = () => s.sum ? s.sum.anchor : [0, 0];
  const sample = (after, row, column) => {
    const array = after ? region.after : region.before;
    const [y, x] = after ? [row, column] : [row * region.step[0] + anchor()[0], column * region.step[1] + anchor()[1]];
    return Array.from({length: array.shape[2]}, (_, n) => at(array, y, x, n));
  };
  function colour(values, after) {
    const [low, high] = s.ends[after ? 1 : 0];
    const level = v => Math.min(255, Math.max(0, Math.round(255 * (v - low) / (high - low)))) || 0;
    const rgb = s.letters === "CMYK" ? [0, 1, 2].map(n => 255 * (1 - values[n] / high) * (1 - values[3] / high))
      : values.length >= 3 ? values.slice(0, 3).map(level) : [level(values[0]), level(values[0]), level(values[0])];
    return rgb.map(Math.round);
  }
  function draw() {
    const style = getComputedStyle(document.documentElement), dot = window.devicePixelRatio || 1;
    canvases.forEach((canvas, after) => {
      canvas.width = canvas.clientWidth * dot; canvas.height = canvas.clientHeight * dot;
      const pen = canvas.getContext("2d"), [rows, columns] = region.after.shape;
      pen.scale(dot, dot);
      const [down, across] = seen(canvas);
      const size = Math.max(8, Math.min(13, zoom / 3.4));
      pen.textAlign = "center"; pen.textBaseline = "middle"; pen.font = `${size}px system-ui, sans-serif`;
      // before: also what windows reach beside the part, and, marked, what the border makes up
      const reach = [0, 1].map(n => after || region.step.join() !== "1,1" ? [0, 0] : [anchor()[n], region.maps[n].length - region.after.shape[n] - anchor()[n]]);
      for (let row = Math.max(-reach[0][0], Math.floor(origin[0])); row < Math.min(rows + reach[0][1], origin[0] + down); row++)
        for (let column = Math.max(-reach[1][0], Math.floor(origin[1])); column < Math.min(columns + reach[1][1], origin[1] + across); column++) {
          const under = after ? [] : [row, column].map((place, n) => place * region.step[n] + anchor()[n]);
          const outside = under.some((place, n) => region.maps[n][place] < 0);
          const made = under.some((place, n) => place + region.first[n] < 0 || place + region.first[n] >= region.size[n]);
          if (made && (!s.sum || ["keep", "renormalize"].includes(s.sum.border))) continue;
          const values = outside ? Array(region.before.shape[2]).fill(s.sum.outside) : sample(after, row, column), [r, g, b] = colour(values, after);
          const x = (column - origin[1]) * zoom, y = (row - origin[0]) * zoom;
          pen.fillStyle = `rgb(${r},${g},${b})`;
          pen.fillRect(x, y, zoom + 0.6, zoom + 0.6);
          if (made) {
            pen.strokeStyle = style.getPropertyValue("--warn");
            pen.lineWidth = Math.max(1, zoom / 16);
            pen.beginPath(); pen.moveTo(x, y + zoom); pen.lineTo(x + zoom, y); pen.stroke();
          }
          const lines = values.length > 4 ? values.slice(0, 3) : values;
          if (zoom < Math.max(22, lines.length * 12)) continue;
          pen.fillStyle = 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff";
          lines.forEach((v, n) => pen.fillText(number(v, 3), x + zoom / 2, y + zoom / 2 + (n - (lines.length - 1) / 2) * size * 1.05, zoom - 2));
        }
      const outline = (top, left, height, width, shade, line) => {
        const place = [(left - origin[1]) * zoom, (top - origin[0]) * zoom, width * zoom, height * zoom];
        pen.lineWidth = line + 2; pen.strokeStyle = "#fff"; pen.strokeRect(...place);
        pen.lineWidth = line; pen.strokeStyle = shade; pen.strokeRect(...place);
      };
      if (!after && s.sum && region.step[0] === 1 && region.step[1] === 1)
        outline(cursor[0] - anchor()[0], cursor[1] - anchor()[1], s.sum.planes[0].length, s.sum.planes[0][0].length, style.getPropertyValue("--mark"), 2);
      outline(cursor[0], cursor[1], 1, 1, style.getPropertyValue("--cursor"), 2);
    });
  }
  function tell() {
    const [row, column] = cursor, place = `row ${region.at[0] + row}, column ${region.at[1] + column}`;
    const list = values => values.length > 1 ? `(${values.map(v => number(v)).join(", ")})` : number(values[0]);
    said.textContent = `${place}: ${list(sample(0, row, column))} before, ${list(sample(1, row, column))} after`;
    said.dataset.at = `${region.at[0] + row},${region.at[1] + column}`;
    sums.replaceChildren(...(s.sum ? showSum(row, column) : [make("p", {class: "soft"}, `It is not shown: ${s.why}.`)]));
  }
  function showSum(row, column) {
    const channels = region.after.shape[2], sum = s.sum;
    channel = Math.min(channel, channels - 1);
    const worked = sumOf(sum, region, row, column, channel), shown = at(region.after, row, column, channel);
    const parts = [];
    if (channels > 1) {
      const names = s.letters.length === channels ? [...s.letters] : [...Array(channels).keys()];
      const [label, select] = choice("Channel", names.map(String), n => { channel = n; tell(); sums.querySelector("select").focus(); });
      select.value = channel;
      parts.push(make("div", {class: "all"}, label));
    }
    if (sum.before) parts.push(make("p", {class: "soft all"}, `The window lies on what ${sum.before} made of the picture.`));
    if (worked.why) parts.push(make("p", {class: "all"}, `${number(worked.copied)} is copied: ${worked.why}${worked.bias ? `; plus the bias ${number(worked.bias)}` : ""}.`));
    for (const block of worked.blocks ?? []) parts.push(...showBlock(sum, block, worked.blocks.length > 1));
    const lines = worked.steps.map(([name, value]) => [name, number(value, 9)]);
    if (worked.bias && worked.blocks) lines.unshift([`with the bias ${number(worked.bias)}`, number(worked.value, 9)]);
    if ((worked.blocks ?? []).length > 1) lines.unshift(["the blocks added", number(worked.blocks.reduce((a, b) => a + b.total, 0), 9)]);
    if (lines.length) parts.push(make("div", {class: "all"}, facts(lines)));
    const off = Math.abs(worked.result - shown), near = sum.near * Math.abs(shown);
    const verdict = worked.result === shown || (Number.isNaN(worked.result) && Number.isNaN(shown)) ? "as in the result"
      : `the result has ${number(shown, 9)}` + (off <= near ? ", the same up to rounding" : off <= near + sum.bound ? ` (${sum.method})` : "");
    parts.push(make("p", {class: "result all"}, make("strong", {"data-sum": String(worked.result)}, `= ${number(worked.result, 9)}`), `, ${verdict}`));
    return parts;
  }
  function showBlock(sum, block, several) {
    const spelled = block.rows[0].taps.length <= 9, rows = [...block.rows].sort((a, b) => a.i - b.i);
    const times = t => `${number(t.value, 5)}·${t.weight < 0 ? `(${number(t.weight, 4)})` : number(t.weight, 4)}`;
    const window = table((several ? `Channel ${block.from}: s` : "S") + "amples of the window, each times its weight"
      + (sum.scale !== 1 ? ` over the scale ${number(sum.scale)}` : "") + (rows.some(r => r.taps.some(t => t.made)) ? "; hatched: made up by the border" : ""),
      ...rows.map(r => make("tr", {}, ...r.taps.map(t =>
        make("td", {class: t.made ? "made" : null}, number(t.value, 5), make("small", {}, `× ${number(t.weight, 4)}`))))));
    const start = block.part ? "only taps inside count" : `offset ${number(sum.offset)}${sum.half_first && block.base !== 0 ? " + 0.5 to round" : ""}`;
    const added = table(sum.in_order ? `Added tap by tap from the top left, in ${sum.sums}` : `Rows are added from the bottom one up, each from left to right, in ${sum.sums}`,
      make("thead", {}, make("tr", {}, ...["row", spelled ? "products" : "taps", "sum of the row", "so far"].map((text, n) => make("th", {scope: "col", class: n === 1 ? "words" : null}, text)))),
      make("tbody", {}, make("tr", {}, make("th", {scope: "row"}, "start"), make("td", {class: "words"}, start), make("td"), make("td", {}, number(block.base, 9))),
        ...block.rows.map(r => make("tr", {}, make("th", {scope: "row"}, String(r.i)), make("td", {class: "words"},
          spelled ? r.taps.filter(t => t.used).map(times).join(" + ") || "–" : `${r.taps.filter(t => t.used).length} that are not 0`),
          make("td", {}, r.partial === null ? "–" : number(r.partial, 9)), make("td", {}, number(r.total, 9))))));
    const parts = [window, added];
    if (block.part) parts.push(make("p", {class: "all"}, `Weights inside sum to ${number(block.inside)}, all to ${number(block.all)}: times ${number(block.all / block.inside)}, plus the offset: ${number(block.total, 9)}.`));
    return parts;
  }

  pad.addEventListener("keydown", event => {
    const step = event.shiftKey ? 10 : 1;
    const moves = {ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step]}[event.key];
    if (moves) { move(cursor[0] + moves[0], cursor[1] + moves[1]); follow(); draw(); }
    else if (event.key === "+" || event.key === "-") {
      zoomer.value = zoom * (event.key === "+" ? 1.4 : 1 / 1.4); zoomer.dispatchEvent(new Event("input"));
    } else return;
    event.preventDefault();
  });
  canvases.forEach(canvas => {
    let from = null;
    canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); from = {x: event.clientX, y: event.clientY, origin, moved: false}; });
    canvas.addEventListener("pointermove", event => {
      if (!from || !event.buttons) return;
      const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
      if (Math.abs(dx) + Math.abs(dy) > 4) from.moved = true;
      if (from.moved) { origin = [from.origin[0] - dy / zoom, from.origin[1] - dx / zoom]; draw(); }
    });
    canvas.addEventListener("pointerup", event => {
      if (from && !from.moved) {
        const place = canvas.getBoundingClientRect();
        move(Math.floor(origin[0] + (event.clientY - place.top - 1) / zoom), Math.floor(origin[1] + (event.clientX - place.left - 1) / zoom));
        draw();
      }
      from = null;
    });
  });
  new ResizeObserver(() => region && draw()).observe(pad);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => region && draw());
  box.ready = open(0);
  return box;
}

// ---- kernels

function kernelPart(kernel) {
  const weights = kernel.weights ?? kernel.first;
  const parts = [make("div", {}, kernel.about ? make("p", {}, kernel.about) : "", facts(kernel.facts))];
  if (weights) {
    const largest = Math.max(...weights.flat().map(Math.abs)) || 1;
    const shade = w => w ? `background:rgba(var(${w > 0 ? "--more" : "--less"}),${(0.32 * Math.abs(w) / largest).toFixed(3)})` : null;
    parts.push(table(kernel.weights ? "Weights as written" : "Weights of the first channel, over the scale",
      ...weights.map(row => make("tr", {}, ...row.map(w => make("td", {style: shade(w)}, number(w, 4)))))));
  } else parts.push(make("p", {class: "soft"}, "More weights than fit here; imgconv kernels show --toml has all."));
  parts.push(waves(kernel));
  return make("section", {}, make("h2", {}, `Kernel ${kernel.title}`), make("div", {class: "kernels"}, ...parts));
}

function waves(kernel) {
  const grid = kernel.response, size = grid.length, middle = (size - 1) / 2, highest = Math.max(...grid.flat(), 1e-12);
  const canvas = make("canvas", {width: size, height: size, role: "img", "aria-label": `Frequency response of ${kernel.name} in two dimensions; the curves beside it have the numbers along the axes`});
  const pen = canvas.getContext("2d"), image = pen.createImageData(size, size);
  grid.flat().forEach((value, n) => image.data.set([0, 1, 2].map(() => 255 * value / highest).concat(255), 4 * n));
  pen.putImageData(image, 0, 0);
  const along = [grid[middle].slice(middle), grid.slice(middle).map(row => row[middle])];
  const line = values => values.map((v, n) => `${n ? "L" : "M"}${(40 + 220 * n / (values.length - 1)).toFixed(1)},${(140 - 120 * v / highest).toFixed(1)}`).join("");
  const ends = along.map(values => `${number(values[0], 3)} for even surfaces, ${number(values[values.length >> 1], 3)} at 1/4, ${number(values[values.length - 1], 3)} at 1/2 cycle a pixel`);
  const svg = make("svg", {viewBox: "0 0 280 175", role: "img", "aria-label": `Frequency response along rows: ${ends[0]}; along columns: ${ends[1]}`},
    make("path", {d: "M40,20V140H260", class: "axis"}), make("path", {d: line(along[0]), class: "one"}), make("path", {d: line(along[1]), class: "two"}),
    make("text", {x: 36, y: 24, "text-anchor": "end"}, number(highest, 3)), make("text", {x: 36, y: 144, "text-anchor": "end"}, "0"),
    make("text", {x: 40, y: 155}, "0"), make("text", {x: 150, y: 155, "text-anchor": "middle"}, "1/4"), make("text", {x: 260, y: 155, "text-anchor": "end"}, "1/2"),
    make("text", {x: 150, y: 171, "text-anchor": "middle"}, "cycles a pixel"));
  return make("div", {}, make("figure", {class: "wave"}, canvas, make("figcaption", {}, `Frequency response, −1/2 to 1/2 cycle a pixel; black is 0, white ${number(highest, 3)}`)),
    make("figure", {}, svg, make("figcaption", {}, "Along rows (solid) and along columns (dashed)")));
}

function timings(s) {
  const total = s.times.reduce((sum, [, seconds]) => sum + seconds, 0) || 1, shades = ["--blue", "--soft", "--mark", "--red"];
  return make("div", {}, make("h2", {}, "Timings"),
    make("div", {class: "times", "aria-hidden": "true"}, ...s.times.map(([, seconds], n) => make("span", {style: `width:${100 * seconds / total}%;background:var(${shades[n % 4]})`}))),
    facts(s.times.map(([name, seconds]) => [name, seconds >= 1 ? `${number(seconds, 3)} s` : `${number(seconds * 1000, 3)} ms`])));
}

function section(s) {
  const many = data.sections.length > 1, box = make("section", {"aria-label": s.title});
  if (many) box.append(make("h2", {class: "picture"}, s.title));
  if (s.error) { box.append(make("p", {class: "warn"}, s.error)); return box; }
  const notes = s.note ? [s.note] : [];
  if (s.scale > 1) notes.push(`the picture is scaled down to 1 in ${s.scale}`);
  if (s.range) notes.push(`black is ${number(s.range[0], 4)}, white ${number(s.range[1], 4)}`);
  if (s.channels[0] > 4 || s.channels[1] > 4) notes.push("of the channels the first three are shown");
  if (s.largest !== undefined) s.facts.push(["difference", s.differing ? `${count(s.differing)} pixels (${share(s.differing, s.size[0] * s.size[1])}), by ${number(s.largest, 4)} at most` : "none: the same samples"]);
  if (s.size.join() !== s.result_size.join()) notes.push(`the result is ${s.result_size[1]}×${s.result_size[0]}, drawn over the same area`);
  const {box: viewed, stage} = views(s), caption = notes.length ? make("p", {class: "soft"}, `As shown here, ${notes.join("; ")}.`) : "";
  if (s.regions === undefined) {
    box.append(make("div", {class: "small"}, make("div", {}, viewed, caption), make("div", {}, facts(s.facts),
      s.clipped === null ? "" : make("p", {}, `Clipped: ${share(s.clipped, s.samples)} of the samples.`))));
    return box;
  }
  const detail = pixels(s, stage);
  box.append(facts(s.facts), viewed, caption, detail, histogram(s));
  if (s.times && s.times.length) box.append(timings(s));
  box.ready = detail.ready;
  return box;
}

document.getElementById("title").textContent = data.title;
document.getElementById("about").textContent = data.about;
document.getElementById("footer").textContent = "Everything on this page is in this file.";
const main = document.getElementById("main"), kernels = data.kernels.map(kernelPart);
const sections = data.sections.map(section);
main.append(...(sections.length > 1 ? [...kernels, ...sections] : [...sections, ...kernels]));
if (data.left_out) main.append(make("p", {class: "soft"}, `${data.left_out} more kernels are not shown.`));
Promise.all(sections.map(part => part.ready)).then(() => { document.body.dataset.ready = "true"; });
