// The few-shot regressor: five clicks on up to five faces, W by ridge least squares, and its points on faces nobody labelled.
import {ridgeFit, matvec} from './linalg.js';
import {h, saver, frames, listen, slider, button, check, handle, tile, toView} from './ui.js';

export const defaults = {
  sprite: '', cols: 5, landmarks: [], truth: [], names: ['left eye', 'right eye', 'nose', 'left mouth corner', 'right mouth corner'],
  n_examples: 5, clicks: [[], [], [], [], []], ridge: .01, active: 0, show_truth: true, show_landmarks: false, errors: [], mean_error: null, W: [],
};

export function fitAll({landmarks, truth, clicks, ridge, n_examples}) { // → W, predictions and errors (in units of the inter-ocular distance)
  const L = truth[0].length, use = clicks.map((c, i) => i).filter(i => clicks[i].length === L && i < n_examples);
  if (!use.length) return {use, W: [], pred: [], errors: [], mean_error: null, shape_error: null};
  const W = ridgeFit(use.map(i => landmarks[i].flat()), use.map(i => clicks[i].flat()), ridge), pairs = y => Array.from({length: L}, (_, i) => [y[2 * i], y[2 * i + 1]]);
  const pred = landmarks.map(l => pairs(matvec(W, l.flat()))), rest = landmarks.map((_, i) => i).slice(n_examples);
  const err = (p, t) => p.reduce((s, a, i) => s + Math.hypot(a[0] - t[i][0], a[1] - t[i][1]), 0) / L / Math.hypot(t[0][0] - t[1][0], t[0][1] - t[1][1]);
  const mean = Array.from({length: L}, (_, i) => [0, 1].map(k => use.reduce((s, e) => s + clicks[e][i][k], 0) / use.length));
  const avg = a => a.reduce((s, v) => s + v, 0) / a.length, errors = rest.map(i => err(pred[i], truth[i]));
  return {use, W, pred, errors, mean_error: avg(errors), shape_error: avg(rest.map(i => err(mean, truth[i])))};
}

const colors = ['#ff5a6e', '#ffd92e', '#4fd8ff', '#ff9a3c', '#a5f05a', '#ff7bf3', '#ffffff'];

function render({model, el}) {
  const get = k => model.get(k), save = saver(model), set = d => { model.set(d); save(); };
  const state = () => Object.fromEntries(Object.keys(defaults).map(k => [k, get(k)]));
  el.classList.add('fse-widget');
  const L = () => get('names').length, face = (i, cls) => tile(get('sprite'), i, get('cols'), get('landmarks').length, cls);
  const clicks = () => get('clicks'), setClicks = (i, c) => set({clicks: clicks().map((o, k) => k === i ? c : o)});

  const prompt = h('p', {class: 'fse-note', 'aria-live': 'polite'});
  const stage = h('div', {class: 'fse-stage'}), thumbs = h('div', {class: 'fse-thumbs', role: 'group', 'aria-label': 'Example faces'}), grid = h('div', {class: 'fse-grid', role: 'group', 'aria-label': 'Faces nobody labelled'});
  const place = button('Place a point in the middle', () => { const c = clicks()[get('active')]; if (c.length < L()) setClicks(get('active'), [...c, [0, 0]]); });
  const undo = button('Remove the last point', () => setClicks(get('active'), clicks()[get('active')].slice(0, -1)));
  const cheat = button('Use the true points', () => setClicks(get('active'), get('truth')[get('active')].map(p => [...p])));
  const clear = button('Start over', () => set({clicks: clicks().map(() => []), active: 0}));
  const lambda = slider({label: 'λ of the ridge', min: -5, max: 0, step: .25, get: () => Math.log10(Math.max(1e-5, get('ridge'))), show: v => (10 ** v).toPrecision(2), set: v => set({ridge: 10 ** v})});
  const boxes = [check({label: 'true points (rings)', get: () => get('show_truth'), set: v => set({show_truth: v})}), check({label: 'what the detector found (small dots)', get: () => get('show_landmarks'), set: v => set({show_landmarks: v})})];
  const result = h('p', {class: 'fse-result', 'aria-live': 'polite'});
  el.append(h('div', {class: 'fse-split'}, h('div', {class: 'fse-label'}, prompt, stage, thumbs, h('div', {class: 'fse-row'}, place, undo, cheat, clear)),
    h('div', {class: 'fse-apply'}, result, grid, h('div', {class: 'fse-controls'}, lambda), h('div', {class: 'fse-row'}, boxes))));

  const dot = (p, i, r, cls = 'fse-point') => h('circle', {cx: p[0], cy: p[1], r, class: cls, ...(cls === 'fse-lmdot' ? {} : cls === 'fse-true' ? {stroke: colors[i % 7]} : {fill: colors[i % 7]})});
  const found = h('g', {'pointer-events': 'none'});
  let big, tiles = [], thumb = [], handles = [], shown = -1;

  function setup() {
    const n = get('n_examples');
    thumb = Array.from({length: n}, (_, i) => { const f = face(i), b = h('button', {type: 'button', class: 'fse-thumb', onclick: () => set({active: i})}, f); return Object.assign(b, {svg: f.svg}); });
    thumbs.replaceChildren(...thumb);
    tiles = get('landmarks').slice(n).map((_, i) => { const f = face(n + i), cap = h('figcaption'); return Object.assign(h('figure', {class: 'fse-tile'}, f, cap), {svg: f.svg, cap, i: n + i}); });
    grid.replaceChildren(...tiles);
    shown = -1;
  }

  function stageFace() { // the face to click on
    const a = get('active');
    shown = a;
    big = face(a, 'fse-big');
    big.svg.addEventListener('click', e => {
      const c = clicks()[a];
      if (e.target.closest('.fse-handle') || c.length >= L()) return;
      setClicks(a, [...c, toView(big.svg, e)]);
    });
    handles = [];
    stage.replaceChildren(big);
  }

  function update() {
    const a = get('active'), c = clicks()[a], names = get('names');
    const moving = handles.length === c.length && shown === a;
    if (shown !== a) stageFace();
    if (!moving) {
      const focus = document.activeElement && handles.indexOf(document.activeElement);
      handles = c.map((_, i) => {
        const o = handle(big.svg, {label: `${names[i]} on example ${a + 1}`, r: .035, step: .01, get: () => clicks()[a][i] ?? [0, 0],
          move: (x, y) => setClicks(a, clicks()[a].map((p, k) => k === i ? [Math.max(-1, Math.min(1, x)), Math.max(-1, Math.min(1, y))] : p))});
        o.querySelector('.fse-dot').style.fill = colors[i % 7];
        return o;
      });
      big.svg.replaceChildren(found, ...handles);
      handles[focus]?.focus({preventScroll: true});
    }
    handles.forEach(o => o.update());
    found.replaceChildren(...(get('show_landmarks') ? get('landmarks')[a].map((p, i) => dot(p, i, .018, 'fse-lmdot')) : []));
    prompt.textContent = c.length < L() ? `Example ${a + 1}: click the ${names[c.length]} (${c.length + 1} of ${L()}; left and right as you see them).` : `Example ${a + 1} is done; its points can be dragged.` + (clicks().some(o => o.length < L()) ? ' Choose another example.' : '');
    const fit = fitAll(state());
    thumb.forEach((b, i) => {
      const n = clicks()[i].length;
      b.setAttribute('aria-pressed', i === a);
      b.setAttribute('aria-label', `example ${i + 1}, ${n} of ${L()} points`);
      b.svg.replaceChildren(...clicks()[i].map((p, k) => dot(p, k, .09)));
    });
    tiles.forEach((t, k) => {
      const e = fit.errors[k];
      t.svg.replaceChildren(
        ...(get('show_landmarks') ? get('landmarks')[t.i].map((p, i) => dot(p, i, .022, 'fse-lmdot')) : []),
        ...(get('show_truth') ? get('truth')[t.i].map((p, i) => dot(p, i, .075, 'fse-true')) : []),
        ...(fit.pred.length ? fit.pred[t.i].map((p, i) => dot(p, i, .045)) : []));
      t.cap.textContent = e == null ? '' : `${(100 * e).toFixed(0)}%`;
      t.setAttribute('aria-label', e == null ? `face ${k + 1}` : `face ${k + 1}, error ${(100 * e).toFixed(1)} per cent`);
    });
    const pct = v => (100 * v).toFixed(1) + '%', n = fit.use.length;
    result.textContent = n ? `W from ${n} labelled face${n > 1 ? 's' : ''}: error ${pct(fit.mean_error)} of the inter-ocular distance on ${tiles.length} others. The mean of your labels alone: ${pct(fit.shape_error)}.`
      : `Label one face completely, and W (${2 * L()}×${2 * (get('landmarks')[0]?.length ?? 0)} numbers) is fitted here and applied to the faces below.`;
    model.set({errors: fit.errors, mean_error: fit.mean_error, W: Array.from(fit.W)});
    place.disabled = cheat.disabled = c.length >= L();
    undo.disabled = !c.length;
    [lambda, ...boxes].forEach(o => o.update());
  }
  setup();
  update();
  const stop = [listen(model, ['sprite', 'landmarks', 'truth', 'names', 'n_examples', 'cols'], () => { setup(); update(); }),
    listen(model, ['clicks', 'ridge', 'active', 'show_truth', 'show_landmarks'], frames(update))];
  return () => stop.forEach(f => f());
}

export default {render};
