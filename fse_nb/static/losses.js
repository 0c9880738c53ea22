// The loss explorer: probability maps of two landmarks in both images of a pair, and what equations (6), (8), (9) say about them.
import {h, saver, frames, listen, slider, button, check, choose, pane, handle} from './ui.js';

// a map is a list of bumps [x, y, σ, weight], in pixels from the middle; images are lists of maps
export const defaults = {
  size: 40, rotate: 0, shift: [0, 0], gamma: 500, pool: 5,
  maps1: [[[-6.5, .5, 2.5, 1]], [[7.5, .5, 2.5, 1]]], maps2: [[[-6.5, 4.5, 2.5, 1]], [[7.5, 4.5, 2.5, 1]]], values: {},
};

export function gaussians(bumps, n) { // the map (n·n): each bump sums to its share
  const out = new Float64Array(n * n), total = bumps.reduce((s, b) => s + b[3], 0), c = i => i + .5 - n / 2;
  for (const [x, y, sigma, w] of bumps) {
    const axis = o => { const d = Array.from({length: n}, (_, i) => -((c(i) - o) ** 2) / (2 * sigma * sigma)), m = Math.max(...d), e = d.map(v => Math.exp(v - m)), s = e.reduce((a, b) => a + b); return e.map(v => v / s); };
    const px = axis(x), py = axis(y);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[i * n + j] += w / total * py[i] * px[j];
  }
  return out;
}

export function moments(p, n, f) { // mean and variance of the field f under the map
  let mx = 0, my = 0, sq = 0;
  for (let i = 0, k = 0; i < n; i++) for (let j = 0; j < n; j++, k++) {
    const [x, y] = f(j + .5 - n / 2, i + .5 - n / 2);
    mx += p[k] * x; my += p[k] * y; sq += p[k] * (x * x + y * y);
  }
  return {mean: [mx, my], variance: sq - mx * mx - my * my};
}

export function diversity(maps, n, m) { // equation (8), over windows of m×m
  const k = Math.ceil(n / m), top = new Float64Array(k * k);
  for (const p of maps) {
    const s = new Float64Array(k * k);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) s[(i / m | 0) * k + (j / m | 0)] += p[i * n + j];
    s.forEach((v, i) => { if (v > top[i]) top[i] = v; });
  }
  return maps.length - top.reduce((a, b) => a + b);
}

export function warp({rotate, shift}) { // g2, in pixels
  const a = rotate * Math.PI / 180, c = Math.cos(a), s = Math.sin(a);
  return (x, y) => [c * x - s * y + shift[0], s * x + c * y + shift[1]];
}
export function unwarp({rotate, shift}) {
  const a = rotate * Math.PI / 180, c = Math.cos(a), s = Math.sin(a);
  return (x, y) => { x -= shift[0]; y -= shift[1]; return [c * x + s * y, -s * x + c * y]; };
}

export function lossesOf(st) {
  const n = st.size, [p, q] = [st.maps1, st.maps2].map(im => im.map(b => gaussians(b, n))), K = p.length, same = (x, y) => [x, y];
  const a = p.map(o => moments(o, n, same)), b = q.map(o => moments(o, n, warp(st)));
  const point = a.reduce((s, o, r) => s + (o.mean[0] - b[r].mean[0]) ** 2 + (o.mean[1] - b[r].mean[1]) ** 2, 0) / K;
  const variance = a.reduce((s, o, r) => s + o.variance + b[r].variance, 0) / K;
  const [div1, div2] = [p, q].map(o => diversity(o, n, 1)), [pooled1, pooled2] = [p, q].map(o => diversity(o, n, st.pool));
  return {values: {point, variance, align: point + variance, div1, div2, pooled1, pooled2, total: point + variance + st.gamma * (pooled1 + pooled2)}, p, q, a, b};
}

const names = ['A', 'B', 'C', 'D'], rgb = [[1, .25, .2], [.1, .75, 1], [1, .85, .1], [.4, 1, .4]];

function render({model, el}) {
  const get = k => model.get(k), save = saver(model), set = d => { model.set(d); save(); };
  const state = () => Object.fromEntries(Object.keys(defaults).map(k => [k, get(k)]));
  el.classList.add('fse-widget');
  const half = () => get('size') / 2;
  const panes = ['x. Cross: mean of a map; ring: where g₂ sends its partner', 'x′. Drag the bumps'].map(t => pane(t, -half(), half(), 'fse-map'));
  const keys = ['maps1', 'maps2'], over = panes.map(p => { const o = h('g'); p.svg.append(o); return o; }), grips = panes.map(p => { const o = h('g'); p.svg.append(o); return o; });
  let sel = [0, 0, 0], all = true, handles = []; // image, landmark, bump

  const change = (im, f) => { const m = structuredClone(get(keys[im])); f(m); set({[keys[im]]: m}); };
  const bump = () => get(keys[sel[0]])[sel[1]]?.[sel[2]] ?? get(keys[sel[0]])[0][0];
  const eachBump = f => { for (const i of [0, 1]) change(i, m => m.forEach(bs => bs.forEach(f))); };
  const width = slider({label: 'σ: width of the bumps', min: .3, max: 10, step: .1, get: () => bump()[2], show: v => v.toFixed(1) + ' px',
    set: v => all ? eachBump(b => { b[2] = v; }) : change(sel[0], m => { m[sel[1]][sel[2]][2] = v; })});
  const weight = slider({label: 'weight of this bump', min: .05, max: 1, step: .05, get: () => bump()[3], show: v => v.toFixed(2), set: v => change(sel[0], m => { m[sel[1]][sel[2]][3] = v; })});
  const allBox = check({label: 'σ for all bumps at once', get: () => all, set: v => { all = v; update(); }});
  const which = choose({label: 'selected ', options: [], get: () => sel.join(), set: v => { sel = v.split(',').map(Number); update(); }});
  const split = button('', () => change(sel[0], m => { const b = m[sel[1]]; if (b.length > 1) { b.length = 1; sel[2] = 0; } else b.push([-b[0][0], -b[0][1] - 4, b[0][2], b[0][3]]); }));
  const others = [
    slider({label: 'g₂: rotation', min: -45, max: 45, step: 1, get: () => get('rotate'), show: v => v + '°', set: v => set({rotate: v})}),
    slider({label: 'g₂: shift to the right', min: -10, max: 10, step: .5, get: () => get('shift')[0], show: v => v + ' px', set: v => set({shift: [v, get('shift')[1]]})}),
    slider({label: 'γ: weight of (8)', min: 0, max: 500, step: 5, get: () => get('gamma'), set: v => set({gamma: v})}),
    slider({label: 'm: window of the pooling', min: 1, max: 8, step: 1, get: () => get('pool'), show: v => `${v}×${v}`, set: v => set({pool: v})}),
  ];
  const follow = button('Let x′ follow', () => {
    const f = unwarp(state());
    set({maps2: get('maps1').map(bs => bs.map(([x, y, s, w]) => [...f(x, y), s, w]))});
  }, {title: 'move the maps of x′ to where the warp sends the landmarks of x'});
  const rows = [['point', '(6), point part', 'px²', 1], ['variance', '(6), variance part', 'px²', 1], ['div1', '(8) in x, no pooling', '', 0], ['div2', '(8) in x′, no pooling', '', 0],
    ['pooled1', '(8) in x, pooled', '', 0], ['pooled2', '(8) in x′, pooled', '', 0]];
  const cells = {}, table = h('table', {class: 'fse-bars'}, h('caption', {}, 'What they cost; the coloured bars add up to (9)'), h('tbody', {}, [...rows.map(([k, t, u]) => [k, t, u]), ['total', '(9) = (6) + γ · pooled (8)', '']].map(([k, t, u]) => {
    const num = h('td', {class: 'fse-num'}), bar = h('div', {class: 'fse-bar fse-' + k});
    cells[k] = {num, bar, u};
    return h('tr', {}, h('th', {scope: 'row'}, t), num, h('td', {class: 'fse-barcell', 'aria-hidden': 'true'}, bar));
  })));
  el.append(h('div', {class: 'fse-split'}, h('div', {class: 'fse-panes'}, panes), table),
    h('div', {class: 'fse-row'}, which, split, follow, allBox), h('div', {class: 'fse-controls'}, width, weight, others));

  function shape() { // handles and options, when the number of bumps changed
    handles = [];
    grips.forEach((grip, im) => grip.replaceChildren(...get(keys[im]).flatMap((bs, r) => bs.map((_, k) => {
      const lim = v => Math.max(-half(), Math.min(half(), v));
      const o = handle(panes[im].svg, {label: `landmark ${names[r]} in ${im ? 'x′' : 'x'}, bump ${k + 1}`, r: .7, step: .5, cls: 'fse-lm',
        get: () => get(keys[im])[r]?.[k] ?? [0, 0], move: (x, y) => change(im, m => { m[r][k][0] = lim(x); m[r][k][1] = lim(y); }), pick: () => { if (sel.join() !== [im, r, k].join()) { sel = [im, r, k]; update(); } }});
      o.append(h('text', {class: 'fse-name', x: 1.2, y: -1}, names[r]));
      o.sel = [im, r, k].join();
      handles.push(o);
      return o;
    }))));
    which.querySelector('select').replaceChildren(...handles.map(o => { const [im, r, k] = o.sel.split(',').map(Number); return h('option', {value: o.sel}, `${names[r]} in ${im ? 'x′' : 'x'}${k ? ', second' : ''}`); }));
  }
  const sig = () => keys.map(k => get(k).map(o => o.length).join()).join(';');
  let was = '';

  function image(maps, canvas, n) {
    canvas.width = canvas.height = n;
    const im = new ImageData(n, n), top = Math.max(...maps.flatMap(m => Array.from(m)));
    for (let i = 0; i < n * n; i++) {
      for (let c = 0; c < 3; c++) im.data[4 * i + c] = 255 * Math.min(1, maps.reduce((s, m, r) => s + rgb[r][c] * Math.sqrt(m[i] / top), 0));
      im.data[4 * i + 3] = 255;
    }
    canvas.getContext('2d').putImageData(im, 0, 0);
  }
  const f2 = v => Math.abs(v) >= 100 ? v.toFixed(0) : v.toFixed(2);
  function update() {
    if (sig() !== was) { was = sig(); if (!get(keys[sel[0]])[sel[1]]?.[sel[2]]) sel = [0, 0, 0]; shape(); }
    const n = get('size'), {values, p, q, a, b} = lossesOf(state()), gm = get('gamma');
    [p, q].forEach((m, i) => image(m, panes[i].canvas, n));
    over[0].replaceChildren(...a.flatMap((o, r) => [
      h('line', {x1: o.mean[0], y1: o.mean[1], x2: b[r].mean[0], y2: b[r].mean[1], class: 'fse-gap'}),
      h('path', {d: `M${o.mean[0] - 1.2} ${o.mean[1]}h2.4M${o.mean[0]} ${o.mean[1] - 1.2}v2.4`, class: 'fse-mean'}),
      h('circle', {cx: b[r].mean[0], cy: b[r].mean[1], r: 1.6, class: 'fse-ring'})]));
    const cost = {...values, pooled1: gm * values.pooled1, pooled2: gm * values.pooled2, div1: gm * values.div1, div2: gm * values.div2}, top = Math.max(50, cost.total);
    for (const [k, c] of Object.entries(cells)) {
      c.num.textContent = `${k === 'total' || c.u ? f2(values[k]) : values[k].toFixed(3)}${c.u ? ' ' + c.u : ''}`;
      c.bar.style.width = `${Math.max(0, Math.min(100, 100 * cost[k] / top)).toFixed(2)}%`;
    }
    handles.forEach(o => { o.update(); o.classList.toggle('fse-sel', o.sel === sel.join()); });
    [width, weight, allBox, which, ...others].forEach(o => o.update());
    weight.hidden = get(keys[sel[0]])[sel[1]].length < 2;
    split.textContent = get(keys[sel[0]])[sel[1]].length > 1 ? 'One bump' : 'Second bump';
    model.set('values', values);
  }
  update();
  save();
  const stop = listen(model, ['size', 'rotate', 'shift', 'gamma', 'pool', 'maps1', 'maps2'], frames(update));
  return () => stop();
}

export default {render};
