// What the widgets share: elements, sliders, points to drag.
const svgTags = new Set(['svg', 'g', 'path', 'circle', 'line', 'text', 'rect', 'polyline', 'title', 'image']);

export function h(tag, attrs = {}, ...children) { // an element; attributes starting with "on" are listeners
  const el = svgTags.has(tag) ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (k.startsWith('on')) el.addEventListener(k.slice(2), v);
    else if (v === true) el.setAttribute(k, '');
    else if (v !== false && v != null) el.setAttribute(k, v);
  }
  el.append(...children.flat().filter(o => o != null));
  return el;
}

export function saver(model, ms = 80) { // tells Python, but not at every pixel of a drag
  let t;
  return () => { clearTimeout(t); t = setTimeout(() => model.save_changes(), ms); };
}

export function frames(f) { // calls f once before the next picture, however often it is asked
  let asked = false;
  return () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; f(); }); } };
}

export function listen(model, keys, f) { // and how to stop
  const es = keys.map(k => 'change:' + k).join(' ');
  model.on(es, f);
  return () => model.off(es, f);
}

let ids = 0;
export function slider({label, min, max, step, get, set, show = v => String(v), hint}) { // shows as many decimals as its step has
  const id = 'fse' + ++ids, out = h('output', {for: id});
  const input = h('input', {type: 'range', id, min, max, step, title: hint, oninput: () => { set(+input.value); text(); }});
  const decimals = (String(step).split('.')[1] ?? '').length, shown = () => show(+get().toFixed(decimals));
  const text = () => { out.textContent = shown(); input.setAttribute('aria-valuetext', shown()); };
  const el = h('div', {class: 'fse-slider'}, h('label', {for: id}, label), input, out);
  el.update = () => { input.value = get(); text(); };
  el.update();
  return el;
}

export const button = (text, onclick, attrs = {}) => h('button', {type: 'button', onclick, ...attrs}, text);

export function check({label, get, set}) {
  const input = h('input', {type: 'checkbox', onchange: () => set(input.checked)});
  const el = h('label', {class: 'fse-check'}, input, label);
  el.update = () => { input.checked = get(); };
  el.update();
  return el;
}

export function choose({label, options, get, set}) { // options: [value, text]
  const input = h('select', {onchange: () => set(input.value)}, options.map(([v, t]) => h('option', {value: v}, t)));
  const el = h('label', {class: 'fse-choose'}, label, input);
  el.update = () => { input.value = get(); };
  el.update();
  return el;
}

export function pane(title, lo = -1, hi = 1, cls = '') { // a square canvas with drawings on top, in coordinates lo…hi
  const canvas = h('canvas', {'aria-hidden': 'true'});
  const svg = h('svg', {viewBox: `${lo} ${lo} ${hi - lo} ${hi - lo}`, role: 'group', 'aria-label': title});
  const el = h('figure', {class: 'fse-pane ' + cls}, h('div', {class: 'fse-square'}, canvas, svg), h('figcaption', {}, title));
  return Object.assign(el, {canvas, svg});
}

export function tile(sheet, i, cols, n, cls = '') { // cell i of a sheet of n pictures in rows, with drawings in [-1,1] on top
  const rows = Math.ceil(n / cols), at = (k, of) => (of > 1 ? 100 * k / (of - 1) : 0) + '%';
  const im = h('div', {class: 'fse-img', 'aria-hidden': 'true', style: `background-image:url(${sheet});background-size:${100 * cols}% ${100 * rows}%;background-position:${at(i % cols, cols)} ${at(Math.floor(i / cols), rows)}`});
  const svg = h('svg', {viewBox: '-1 -1 2 2'});
  return Object.assign(h('div', {class: 'fse-square ' + cls}, im, svg), {svg});
}

export function toView(svg, e) { // where a pointer is, in coordinates of the viewBox
  const r = svg.getBoundingClientRect(), v = svg.viewBox.baseVal;
  return [v.x + (e.clientX - r.left) / r.width * v.width, v.y + (e.clientY - r.top) / r.height * v.height];
}

const arrows = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
// a point for mouse, finger and arrow keys; `drop` is called after a move, `scale` gives the units of r, `step` a number or a function
export function handle(svg, {label, r, hit = 2.2 * r, step, get, move, pick, drop, scale, cls = ''}) {
  const el = h('g', {class: 'fse-handle ' + cls, tabindex: 0, role: 'button', 'aria-roledescription': 'movable point'},
    h('circle', {r: hit, class: 'fse-hit'}), h('circle', {r, class: 'fse-dot'}));
  let grip = null, moved = false;
  el.addEventListener('pointerdown', e => {
    e.preventDefault(); el.focus({preventScroll: true}); el.setPointerCapture(e.pointerId); pick?.();
    const [x, y] = toView(svg, e), [px, py] = get();
    grip = [px - x, py - y]; moved = false;
  });
  el.addEventListener('pointermove', e => { if (grip) { const [x, y] = toView(svg, e); moved = true; move(x + grip[0], y + grip[1]); } });
  for (const t of ['pointerup', 'pointercancel']) el.addEventListener(t, () => { if (grip && moved) drop?.(); grip = null; });
  el.addEventListener('focus', () => pick?.());
  el.addEventListener('keydown', e => {
    const a = arrows[e.key];
    if (!a) return;
    e.preventDefault();
    const [x, y] = get(), k = (typeof step === 'function' ? step() : step) * (e.shiftKey ? 5 : 1);
    move(x + a[0] * k, y + a[1] * k);
    drop?.();
  });
  el.update = () => {
    const [x, y] = get(), v = svg.viewBox.baseVal;
    el.setAttribute('transform', `translate(${x} ${y})${scale ? ` scale(${scale()})` : ''}`);
    el.setAttribute('aria-label', `${label}, at ${x.toFixed(2)}, ${y.toFixed(2)}; arrow keys move it`);
  };
  el.update();
  return el;
}

export async function pixels(uri, size) { // an image as size×size RGBA
  const im = new Image();
  im.src = uri;
  await im.decode();
  const c = h('canvas', {width: size, height: size}), x = c.getContext('2d', {willReadFrequently: true});
  x.imageSmoothingQuality = 'high';
  x.drawImage(im, 0, 0, size, size);
  return x.getImageData(0, 0, size, size);
}

export const polyline = pts => { // path data of flat points
  let s = '';
  for (let i = 0; i < pts.length; i += 2) s += `${i ? 'L' : 'M'}${pts[i].toFixed(4)} ${pts[i + 1].toFixed(4)}`;
  return s;
};
