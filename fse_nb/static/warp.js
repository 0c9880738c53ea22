// The warp playground: a drawn warp (as WarpSampler draws it) plus a spline through the handles that somebody moved.
import {controlGrid, pixelGrid, evaluate, fielder, foldFinder, fit, add, inverse, drawNormals, sampled, resample} from './tps.js';
import {h, saver, frames, listen, slider, button, check, pane, handle, pixels, polyline} from './ui.js';

export const defaults = {
  image: '', points: [], n_ctrl: 10, std: .001, extra_std: .01, rotate: 20, translate: .1, scale: .05, seed: 0, z: [], coef: [],
  handles: controlGrid(4, .6).map(o => +o.toFixed(6)), shift: Array(32).fill(0), extent: .8, size: 160, warped_points: [],
};

export function warpOf(s) { // state → the warp g; what was drawn of it; and the sum that it is, for `fielder`
  const z = s.z.length ? s.z : drawNormals(s.seed, s.n_ctrl ** 2), ctrl = ctrlOf(s.n_ctrl);
  const drawn = s.coef.length ? {ctrl, coef: s.coef} : sampled(z, s.n_ctrl, s), pulled = fit(s.handles, s.shift);
  const sum = [...(s.coef.length ? [[1, ctrl, s.coef]] : [[s.std, ctrl, z[0]], [s.extra_std, ctrl, z[1]]]), [+s.shift.some(o => o), s.handles, pulled.coef]];
  return Object.assign(add(drawn, pulled), {drawn, sum});
}
const grids = {}, ctrlOf = n => grids[n] ||= controlGrid(n);

const colors = ['#e6194b', '#ffe119', '#42d4f4', '#f58231', '#bfef45', '#f032e6', '#ffffff'];

async function render({model, el}) {
  const get = k => model.get(k), save = saver(model);
  const state = () => Object.fromEntries(Object.keys(defaults).map(k => [k, get(k)]));
  const set = d => { model.set(d); save(); };
  el.classList.add('fse-widget');

  const left = pane('I: where the warp looks. Drag the handles.'), right = pane('x(u) = I(g(u)): the warped image');
  const mesh = h('path', {class: 'fse-mesh'}), meshBack = h('path', {class: 'fse-mesh-back'}), flat = h('path', {class: 'fse-mesh'}), flatBack = h('path', {class: 'fse-mesh-back'});
  const dotsL = h('g'), dotsR = h('g'), grips = h('g');
  left.svg.append(meshBack, mesh, dotsL, grips);
  right.svg.append(flatBack, flat, dotsR);
  const note = h('p', {class: 'fse-note'});
  let g = warpOf(state()), field, source, lines, target, mesher, folds;

  const sliders = [
    ['std', 'σw: every weight', 0, .01, .0005, v => v.toFixed(4)], ['extra_std', 'σW: half of them, more', 0, .04, .001, v => v.toFixed(3)],
    ['rotate', 'σr: rotation', 0, 60, 1, v => v + '°'], ['translate', 'σt: shift', 0, .4, .01, v => v.toFixed(2)], ['scale', 'σs: scale', 0, .3, .01, v => v.toFixed(2)],
  ].map(([k, label, min, max, step, show]) => Object.assign(slider({label, min, max, step, show, get: () => get(k), set: v => set({[k]: v, coef: []})}), {key: k}));
  let seed = Math.max(0, get('seed'));
  const again = button('Draw again', () => { seed += 1; set({seed, z: drawNormals(seed, get('n_ctrl') ** 2), coef: []}); });
  const reset = button('Handles back', () => set({shift: get('shift').map(() => 0)}));
  const still = button('No warp', () => set({std: 0, extra_std: 0, rotate: 0, translate: 0, scale: 0, coef: [], shift: get('shift').map(() => 0)}));
  let showGrid = true;
  const gridBox = check({label: 'grid', get: () => showGrid, set: v => { showGrid = v; draw(); }});
  el.append(h('div', {class: 'fse-panes'}, left, right), note,
    h('div', {class: 'fse-controls'}, sliders), h('div', {class: 'fse-row'}, again, reset, still, gridBox));

  let handles = [];
  function makeHandles() {
    const src = get('handles'), n = src.length / 2;
    handles = Array.from({length: n}, (_, i) => handle(left.svg, {
      label: `handle ${i + 1} of ${n}`, r: .045, hit: .17, step: .02,
      get: () => { const p = src.slice(2 * i, 2 * i + 2), q = evaluate(g.drawn, p), s = get('shift'); return [q[0] + s[2 * i], q[1] + s[2 * i + 1]]; },
      move: (x, y) => {
        const q = evaluate(g.drawn, src.slice(2 * i, 2 * i + 2)), s = [...get('shift')], lim = v => Math.max(-1, Math.min(1, v));
        s[2 * i] = lim(x) - q[0]; s[2 * i + 1] = lim(y) - q[1];
        set({shift: s});
      }}));
    grips.replaceChildren(...handles);
  }

  async function setup() {
    const size = get('size'), extent = get('extent'), blank = new ImageData(size, size);
    blank.data.fill(128);
    source = get('image') ? await pixels(get('image'), size) : blank;
    for (const p of [left, right]) p.canvas.width = p.canvas.height = size;
    left.canvas.getContext('2d').putImageData(source, 0, 0);
    right.svg.setAttribute('viewBox', `${-extent} ${-extent} ${2 * extent} ${2 * extent}`);
    field = fielder(pixelGrid(size, size, extent));
    folds = foldFinder(extent);
    target = new ImageData(size, size);
    const t = Array.from({length: 41}, (_, i) => extent * (i / 20 - 1)), l = Array.from({length: 9}, (_, i) => extent * (i / 4 - 1));
    lines = [...l.map(k => t.flatMap(o => [k, o])), ...l.map(k => t.flatMap(o => [o, k]))];
    mesher = fielder(lines.flat());
    flatBack.setAttribute('d', lines.map(polyline).join(''));
    flat.setAttribute('d', lines.map(polyline).join(''));
    makeHandles();
  }

  const dot = (p, i, r) => h('circle', {cx: p[0], cy: p[1], r, class: 'fse-point', fill: colors[i % colors.length]});
  function paint() {
    g = warpOf(state());
    resample(source, field(g), target);
    right.canvas.getContext('2d').putImageData(target, 0, 0);
    if (showGrid) {
      const all = mesher(g), n = lines[0].length, d = lines.map((_, i) => polyline(all.subarray(n * i, n * (i + 1)))).join('');
      mesh.setAttribute('d', d); meshBack.setAttribute('d', d);
    }
    mesh.style.display = meshBack.style.display = showGrid ? '' : 'none';
    flat.style.display = flatBack.style.display = showGrid ? '' : 'none';
    const pts = get('points').flat(), inv = Array.from(inverse(g, pts)), e = get('extent');
    const pairs = a => Array.from({length: a.length / 2}, (_, i) => [a[2 * i], a[2 * i + 1]]);
    dotsL.replaceChildren(...pairs(pts).map((p, i) => dot(p, i, .03)));
    dotsR.replaceChildren(...pairs(inv).map((p, i) => isNaN(p[0]) ? null : dot(p, i, .03 * e)).filter(Boolean));
    model.set('warped_points', pairs(inv).map(p => isNaN(p[0]) ? null : p));
    handles.forEach(o => o.update()); sliders.forEach(o => o.update());
    const moved = pairs(inv).map((p, i) => Math.hypot(p[0] - pts[2 * i], p[1] - pts[2 * i + 1]) * 50).filter(o => !isNaN(o));
    note.textContent = (moved.length ? `Points move by ${(moved.reduce((a, b) => a + b, 0) / moved.length).toFixed(1)} px of a 100-pixel image on average. ` : '')
      + (folds(g) ? 'This warp folds: some places are seen twice, and a point may have no single origin.' : 'No fold.');
  }
  const draw = frames(() => source && paint());

  if (!get('z').length) model.set('z', drawNormals(seed, get('n_ctrl') ** 2));
  await setup();
  paint();
  save();
  const stop = [
    listen(model, ['image', 'size', 'extent', 'handles', 'n_ctrl'], async () => { await setup(); draw(); }),
    listen(model, ['points', 'std', 'extra_std', 'rotate', 'translate', 'scale', 'z', 'coef', 'shift', 'seed'], draw),
  ];
  el.fsePaint = paint; // for tests of speed
  return () => stop.forEach(f => f());
}

export default {render};
