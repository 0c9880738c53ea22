// The experiment browser: every number of results/, to filter, sort and plot.
import {h, saver, frames, listen, choose, check} from './ui.js';

// records: [{name, file, kind, command, commit, date, config, numbers: {name: value}, curve: {x, y: {name: [values]}}}]
export const defaults = {records: [], query: '', kind: '', sort: 'record', descending: false, y: '', log: false, limit: 40, shown: 0};

export function tableOf(records) { // one row a number
  return records.flatMap(r => Object.entries(r.numbers).map(([quantity, value]) => ({record: r.name, file: r.file, kind: r.kind, quantity, value})));
}

export function select(rows, {query, kind, sort, descending}) { // every word of the query must occur in record, file, kind or quantity
  const words = query.toLowerCase().split(/\s+/).filter(Boolean), dir = descending ? -1 : 1;
  const of = r => `${r.record} ${r.file} ${r.kind} ${r.quantity}`.toLowerCase(), num = v => typeof v === 'number';
  const cmp = (a, b) => num(a) && num(b) ? a - b : num(a) ? -1 : num(b) ? 1 : String(a).localeCompare(String(b), 'en', {numeric: true});
  return rows.filter(r => (!kind || r.kind === kind) && words.every(w => of(r).includes(w)))
    .map((r, i) => [r, i]).sort((a, b) => dir * cmp(a[0][sort], b[0][sort]) || a[1] - b[1]).map(o => o[0]);
}

export function curvesOf(records, y) { // records that have the quantity over something
  return records.filter(r => r.curve?.y[y]).map(r => ({name: r.name, xname: r.curve.xname, pts: r.curve.x.map((x, i) => [x, r.curve.y[y][i]]).filter(p => p[1] != null && p[0] != null)})).filter(c => c.pts.length > 1);
}

export function ticks(lo, hi, n = 7) {
  const s = (hi - lo) / n || 1, p = 10 ** Math.floor(Math.log10(s)), step = p * [1, 2, 5, 10].find(k => k * p >= s), out = [];
  for (let t = Math.ceil(lo / step - 1e-9); t * step <= hi + 1e-9 * step; t++) out.push(+(t * step).toPrecision(12));
  return out;
}

const palette = ['#3b82d6', '#d9622b', '#2f9e58', '#b05cc6', '#b08a1e', '#d1477a', '#1f9aa8', '#7d7d86'];
const dashes = ['', '6 3', '2 3', '8 3 2 3'];
const lineOf = i => ({stroke: palette[i % 8], 'stroke-dasharray': dashes[i / 8 | 0] || null});
const fmt = v => typeof v !== 'number' ? String(v) : Number.isInteger(v) ? String(v) : +v.toPrecision(4) + '';

function render({model, el}) {
  const get = k => model.get(k), save = saver(model), set = d => { model.set(d); save(); };
  el.classList.add('fse-widget');
  const query = h('input', {type: 'search', placeholder: 'e.g. annealed cfp', oninput: () => set({query: query.value, limit: defaults.limit})});
  const kinds = choose({label: 'kind ', options: [], get: () => get('kind'), set: v => set({kind: v, limit: defaults.limit})});
  const ys = choose({label: 'curve of ', options: [], get: () => get('y'), set: v => set({y: v})});
  const logBox = check({label: 'logarithmic', get: () => get('log'), set: v => set({log: v})});
  const count = h('p', {class: 'fse-note', 'aria-live': 'polite'}), cols = ['record', 'kind', 'quantity', 'value'];
  const heads = cols.map(c => h('th', {scope: 'col', class: c === 'value' ? 'fse-num' : ''}, h('button', {type: 'button', class: 'fse-sort', onclick: () => set({sort: c, descending: get('sort') === c && !get('descending')})}, c)));
  const body = h('tbody'), plot = h('div', {class: 'fse-plot'}), details = h('dl', {class: 'fse-details'}), more = h('button', {type: 'button', onclick: () => set({limit: get('limit') + 100})}, 'Show more');
  const scroll = h('div', {class: 'fse-scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of results'}, h('table', {class: 'fse-table'}, h('caption', {class: 'fse-sr'}, 'Numbers of all records'), h('thead', {}, h('tr', {}, heads)), body));
  el.append(h('div', {class: 'fse-row'}, h('label', {class: 'fse-choose'}, 'filter ', query), kinds), count, scroll, h('div', {class: 'fse-row'}, more),
    details, h('div', {class: 'fse-row'}, ys, logBox), plot);
  let rows = [], chosen = null, wide = 0;

  function setup() {
    const rs = get('records');
    rows = tableOf(rs);
    const ks = [...new Set(rs.map(r => r.kind))].sort(), qs = [...new Set(rs.flatMap(r => Object.keys(r.curve?.y ?? {})))].filter(y => curvesOf(rs, y).length).sort();
    kinds.querySelector('select').replaceChildren(h('option', {value: ''}, 'all'), ...ks.map(k => h('option', {value: k}, k)));
    ys.querySelector('select').replaceChildren(...qs.map(k => h('option', {value: k}, k)));
    if (!qs.includes(get('y'))) model.set('y', ['cfp error, %', 'equivariance error, px'].find(k => qs.includes(k)) ?? qs[0] ?? '');
  }

  function drawPlot(records) {
    const log = get('log'), all = curvesOf(records, get('y')).map(c => ({...c, pts: c.pts.filter(p => !log || p[1] > 0)})).filter(c => c.pts.length > 1), cs = all.slice(0, 16);
    if (!cs.length) { plot.replaceChildren(h('p', {class: 'fse-note'}, 'None of the selected records has this curve.')); return; }
    const W = wide = Math.max(300, Math.min(720, plot.clientWidth || 640)), H = 300, m = {l: 56, r: 12, t: 10, b: 40}, f = log ? Math.log10 : v => v, xs = cs.flatMap(c => c.pts.map(p => p[0])), vs = cs.flatMap(c => c.pts.map(p => f(p[1])));
    const x0 = Math.min(...xs), x1 = Math.max(...xs), y0 = log ? Math.min(...vs) : Math.min(0, ...vs), y1 = Math.max(...vs), dx = x1 - x0 || 1, dy = y1 - y0 || 1;
    const X = v => m.l + (v - x0) / dx * (W - m.l - m.r), Y = v => H - m.b - (v - y0) / dy * (H - m.t - m.b);
    const yt = log ? ticks(Math.floor(y0), Math.ceil(y1), 6).flatMap(e => Number.isInteger(e) ? [1, 2, 5].map(k => Math.log10(k) + e) : []).filter(v => v >= y0 - 1e-9 && v <= y1 + 1e-9) : ticks(y0, y1);
    const svg = h('svg', {viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': `${get('y')} over ${cs[0].xname} for ${cs.map(c => c.name).join(', ')}`},
      yt.map(t => [h('line', {x1: m.l, x2: W - m.r, y1: Y(t), y2: Y(t), class: 'fse-gridline'}), h('text', {x: m.l - 6, y: Y(t) + 4, 'text-anchor': 'end'}, fmt(log ? +(10 ** t).toPrecision(3) : t))]).flat(),
      ticks(x0, x1, W / 90).map(t => h('text', {x: X(t), y: H - m.b + 18, 'text-anchor': 'middle'}, t >= 10000 ? fmt(t / 1000) + 'k' : fmt(t))),
      h('text', {x: (m.l + W - m.r) / 2, y: H - 4, 'text-anchor': 'middle'}, [...new Set(cs.map(c => c.xname))].join(' / ')),
      cs.map((c, i) => h('polyline', {points: c.pts.map(p => `${X(p[0]).toFixed(1)},${Y(f(p[1])).toFixed(1)}`).join(' '), class: 'fse-curve', ...lineOf(i)}, h('title', {}, c.name))),
      cs.map((c, i) => c.pts.map(p => h('circle', {cx: X(p[0]), cy: Y(f(p[1])), r: 2.5, fill: palette[i % 8]}, h('title', {}, `${c.name}: ${fmt(p[1])} at ${fmt(p[0])}`)))).flat());
    plot.replaceChildren(svg, h('ul', {class: 'fse-legend'}, cs.map((c, i) => h('li', {}, h('svg', {class: 'fse-key', viewBox: '0 0 30 4', 'aria-hidden': 'true'}, h('line', {x2: 30, y1: 2, y2: 2, ...lineOf(i)})), `${c.name}: ${fmt(c.pts.at(-1)[1])}`))),
      all.length > 16 ? h('p', {class: 'fse-note'}, `The first 16 of ${all.length} curves; filter for others.`) : '');
  }

  function update() {
    const s = {query: get('query'), kind: get('kind'), sort: get('sort'), descending: get('descending')}, found = select(rows, s), some = found.slice(0, get('limit'));
    if (query.value !== s.query) query.value = s.query;
    [kinds, ys, logBox].forEach(o => o.update());
    heads.forEach((t, i) => t.setAttribute('aria-sort', cols[i] === s.sort ? (s.descending ? 'descending' : 'ascending') : 'none'));
    const pick = name => { chosen = chosen === name ? null : name; update(); };
    body.replaceChildren(...some.map(r => h('tr', {}, h('td', {}, h('button', {type: 'button', class: 'fse-link', 'aria-pressed': r.record === chosen ? 'true' : 'false', onclick: () => pick(r.record)}, r.record)),
      h('td', {class: 'fse-kind'}, r.kind), h('td', {}, r.quantity), h('td', {class: 'fse-num'}, fmt(r.value)))));
    const names = new Set(found.map(r => r.record)), rs = get('records').filter(r => (!s.kind || r.kind === s.kind) && (names.has(r.name) || select([{record: r.name, file: r.file, kind: r.kind, quantity: Object.keys(r.curve?.y ?? {}).join(' ')}], s).length));
    count.textContent = `${found.length} numbers of ${names.size} records; a record's name shows where it comes from.`;
    more.hidden = found.length <= some.length;
    const r = get('records').find(o => o.name === chosen);
    details.replaceChildren(...(r ? [['record', r.name], ['file', `results/${r.file}.json`], ['what', r.what], ['command', r.command], ['commit', r.commit], ['machine', r.machine], ['configuration', r.config], ['note', r.note]].filter(o => o[1]).flatMap(([k, v]) => [h('dt', {}, k), h('dd', {}, v)]) : []));
    drawPlot(rs);
    model.set('shown', found.length);
  }
  setup();
  update();
  const seen = new ResizeObserver(frames(() => { if (Math.abs(plot.clientWidth - wide) > 20 && plot.clientWidth <= 720) update(); }));
  seen.observe(plot);
  const stop = [() => seen.disconnect(), listen(model, ['records'], () => { setup(); update(); }), listen(model, ['query', 'kind', 'sort', 'descending', 'y', 'log', 'limit'], frames(update))];
  return () => stop.forEach(f => f());
}

export default {render};
