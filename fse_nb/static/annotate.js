// Label a few images: points that are proposed are dragged where wrong. The other side (LabelSession.answer) keeps, proposes, chooses.
import {h, button, frames, handle, toView} from './ui.js';

const UNTOUCHED = -1, MISSING = 0, HIDDEN = 1, SEEN = 2;
export const defaults = {info: {}};

const keys = [['Enter', 'all points are right: done, next image'], ['click', 'place the selected point'], ['drag', 'move a point, or the zoomed image'],
  ['1 … 9, Tab', 'select a point'], ['arrows', 'move the selected point by a pixel, with Shift by five'], ['H', 'hidden: its place is a guess'],
  ['M', 'missing: not in the image'], ['Z', 'undo, back to the first change of all'], ['Shift+Z, Y', 'redo'], ['N', 'another image, this one later'],
  ['[ and ]', 'image before, image after'], ['+, −, 0', 'zoom in, out, whole image'], ['F', 'zoom to the selected point'], ['Space', 'hide the points while held'], ['?', 'this help']];

export function curvePath(curve, w, hgt) { // points of the error, and of the mean shape, in a box of w by hgt
  const n0 = curve[0].n, n1 = curve.at(-1).n, top = 1.05 * Math.max(...curve.map(o => Math.max(o.error, o.mean_shape)));
  const line = k => curve.map(o => `${((o.n - n0) / (n1 - n0) * w).toFixed(1)},${((1 - o[k] / top) * hgt).toFixed(1)}`).join(' ');
  return {error: line('error'), mean: line('mean_shape'), top, n0, n1};
}

export function fitView(im, box, share = 1, centre = [im.w / 2, im.h / 2]) { // left, top, width, height in pixels of the image, of the shape of the box
  const w = Math.max(im.w, im.h * box[0] / box[1]) * share, hgt = w * box[1] / box[0];
  return [centre[0] - .5 - w / 2, centre[1] - .5 - hgt / 2, w, hgt];
}

async function render({model, el}) {
  const waiting = new Map(), tab = Math.random().toString(36).slice(2);
  let ids = 0, dead = false, s = null, info = {}, view = null, active = -1, tiles = [], list = {state: '', sure: [], labelled: []}, shown = [], queue = Promise.resolve(), work = Promise.resolve(), zoomed = false, dirty = 0;
  model.on('msg:custom', m => { waiting.get(m.id)?.(m); waiting.delete(m.id); });
  const ask = (what, more = {}) => new Promise(done => { waiting.set(++ids, done); model.send({id: ids, ask: what, tab, ...more}); });
  const picture = model.picture ? async (i, side) => model.picture(i, side) : async (i, side) => (await ask('picture', {i, side})).uri;

  // ---- what there is to see
  el.classList.add('fse-widget', 'fse-ann');
  const title = h('span', {class: 'fse-ann-name'}), saved = h('span', {class: 'fse-ann-saved', role: 'status'});
  const image = h('image', {}), layer = h('g', {}), svg = h('svg', {class: 'fse-ann-svg', role: 'group', 'aria-label': 'Image with its points', tabindex: 0}, image, layer);
  const prompt = h('p', {class: 'fse-ann-prompt', 'aria-live': 'polite'}), trouble = h('p', {class: 'fse-ann-trouble', role: 'alert', hidden: true});
  const empty = h('div', {class: 'fse-ann-empty', hidden: true});
  const stage = h('div', {class: 'fse-ann-stage'}, svg, empty, prompt);
  const names = h('ol', {class: 'fse-ann-names', 'aria-label': 'Points'});
  const hidden = button('Hidden', () => setState(HIDDEN), {'aria-keyshortcuts': 'h', title: 'covered: its place is a guess (H)'});
  const missing = button('Missing', () => setState(MISSING), {'aria-keyshortcuts': 'm', title: 'not in the image (M)'});
  const done = button('Done, next image', () => finish(), {class: 'fse-ann-done', 'aria-keyshortcuts': 'Enter', title: 'all points are right (Enter)'});
  const undo = button('Undo', () => step('undo'), {'aria-keyshortcuts': 'z Control+z', title: 'take the last change back (Z)'});
  const redo = button('Redo', () => step('redo'), {'aria-keyshortcuts': 'Shift+z Control+y', title: 'bring back what was taken back (Shift+Z)'});
  const skip = button('Later', () => next(true), {'aria-keyshortcuts': 'n', title: 'another image first (N)'});
  const tools = h('div', {class: 'fse-ann-tools'}, undo, redo, skip, button('−', () => zoom(1.25), {'aria-label': 'zoom out'}), button('+', () => zoom(.8), {'aria-label': 'zoom in'}),
    button('Whole', () => { whole(); draw(); }, {title: 'the whole image (0)'}), button('?', () => help.showModal(), {'aria-label': 'help: keys', title: 'keys (?)'}));
  const help = h('dialog', {class: 'fse-ann-help', 'aria-label': 'Keys'}, h('h3', {}, 'Keys'),
    h('dl', {}, keys.flatMap(([k, what]) => [h('dt', {}, h('kbd', {}, k)), h('dd', {}, what)])),
    h('p', {}, 'A ring is a proposal, a disc a point of yours; a dashed ring is a proposal that is more likely wrong than right. Enter takes over all that you see. Left and right are as you named them: keep to one meaning.'),
    button('Close', () => help.close()));
  const progress = h('p', {class: 'fse-ann-progress'}), advice = h('p', {class: 'fse-ann-advice', 'aria-live': 'polite'}), plot = h('div', {class: 'fse-ann-plot'});
  const job = h('p', {class: 'fse-note', role: 'status'});
  const formats = h('select', {'aria-label': 'format'});
  const out = h('div', {class: 'fse-row'}, button('Apply to all images', async () => { take(await ask('apply')); }),
    button('Write labels as', async () => { const r = await ask('export', {to: formats.value}); if (!failed(r)) job.textContent = `wrote ${r.wrote.join(', ')}`; }), formats);
  const filter = h('select', {'aria-label': 'images shown', onchange: () => refilter()}, [['all', 'all images'], ['todo', 'not labelled'], ['done', 'labelled'], ['unsure', 'least certain first']].map(([v, t]) => h('option', {value: v}, t)));
  const strip = h('div', {class: 'fse-ann-strip', tabindex: 0, role: 'group', 'aria-label': 'Images', onscroll: () => thumbs()}), track = h('div', {class: 'fse-ann-track'});
  strip.append(track);
  const side = h('div', {class: 'fse-ann-side'}, names, h('div', {class: 'fse-row fse-ann-states'}, hidden, missing), done, h('section', {'aria-label': 'Progress'}, progress, plot, advice), out, job);
  el.append(h('div', {class: 'fse-ann-bar'}, title, saved, tools), trouble, h('div', {class: 'fse-ann-main'}, stage, side),
    h('div', {class: 'fse-ann-foot'}, h('div', {class: 'fse-row'}, filter), strip), help);

  // ---- state
  const failed = r => { trouble.hidden = !r.error; trouble.textContent = r.error ?? ''; return !!r.error; };
  const place = k => s.visible[k] > 0 ? s.points[k] : s.visible[k] === UNTOUCHED ? s.proposal[k] : null;
  const lacking = () => info.names.findIndex((_, k) => s.visible[k] === UNTOUCHED && !place(k));
  const size = () => [svg.clientWidth || 1, svg.clientHeight || 1], unit = () => view[2] / size()[0]; // pixels of the image in one of the screen
  const clamp = (x, y) => [Math.max(-.5, Math.min(s.w - .5, x)), Math.max(-.5, Math.min(s.h - .5, y))];
  const begin = f => work = work.then(f, f); // one thing after the other: what changes the image that is shown
  const go = i => begin(() => open(i));
  function whole() { zoomed = false; view = s && s.w ? fitView(s, size(), 1.04) : [0, 0, 1, 1]; }
  function take(r) { // status
    if (failed(r)) return;
    info = {...info, ...r};
    progressed();
  }

  function send(finished = false) { // the whole image, so that the last one sent is always right
    const message = {i: s.i, points: s.points.map((p, k) => s.visible[k] > 0 ? p : null), visible: [...s.visible], done: finished};
    dirty++;
    saved.textContent = 'saving …';
    list.state = list.state.slice(0, s.i) + (finished ? 2 : 1) + list.state.slice(s.i + 1);
    return queue = queue.then(async () => {
      const r = await ask('change', message);
      dirty--;
      saved.textContent = r.error ? 'NOT SAVED' : dirty ? 'saving …' : 'saved';
      take(r);
      return !r.error;
    });
  }

  function put(k, x, y) { s.points[k] = clamp(x, y); if (s.visible[k] < HIDDEN) s.visible[k] = SEEN; s.done = false; draw(); }

  function setState(v) { // hidden or missing, and back
    if (!s || active < 0) return;
    const was = s.visible[active], at = place(active) ?? s.proposal[active];
    if (v === MISSING) s.visible[active] = was === MISSING ? UNTOUCHED : MISSING;
    else { if (!at) return; s.points[active] = [...at]; s.visible[active] = was === HIDDEN ? SEEN : HIDDEN; }
    s.done = false;
    const todo = lacking();
    if (v === MISSING && todo >= 0 && s.visible[active] === MISSING) active = todo;
    draw();
    send();
  }

  async function finish() {
    if (!s || s.problem) return;
    const todo = lacking();
    if (todo >= 0) { active = todo; draw(); prompt.classList.add('fse-ann-now'); return; }
    info.names.forEach((_, k) => { if (s.visible[k] === UNTOUCHED) { s.points[k] = [...s.proposal[k]]; s.visible[k] = SEEN; } });
    if (await send(true)) { s.done = true; next(); }
  }

  const next = (aside = false) => begin(async () => {
    await queue;
    const r = await ask('next', aside && s ? {i: s.i} : {});
    take(r);
    refilter();
    if (r.i == null && !r.error) { s = null; stage.classList.add('fse-ann-all'); empty.hidden = false; empty.replaceChildren(h('p', {}, 'All images are labelled.')); return; }
    if (!r.error) await open(r.i);
  });

  const step = what => begin(async () => { // undo or redo
    await queue;
    const r = await ask(what);
    take(r);
    if (!r.error && r.i != null) { await open(r.i); await relist(); }
  });

  async function open(i) { // the same image again, as after undo, keeps what part is seen and the selected point
    await queue;
    const o = await ask('open', {i});
    if (failed(o)) return;
    const source = o.problem ? '' : await picture(i, 2048), again = s?.i === i;
    s = {...o, points: o.points ?? []};
    empty.hidden = !o.problem;
    if (o.problem) empty.replaceChildren(h('p', {}, `${o.name} cannot be read: ${o.problem}`), button('Next image', () => next(true)));
    title.textContent = o.name;
    image.setAttribute('href', source);
    if (!o.problem) for (const [k, v] of [['x', -.5], ['y', -.5], ['width', o.w], ['height', o.h]]) image.setAttribute(k, v);
    image.setAttribute('preserveAspectRatio', 'none');
    tiles = [];
    if (!again) { whole(); active = -1; }
    if (o.problem) active = -1;
    else if (lacking() >= 0) active = lacking();
    draw();
    show(i);
    if (!el.contains(document.activeElement) || document.activeElement.closest('.fse-ann-stage, .fse-ann-done')) svg.focus({preventScroll: true});
  }

  // ---- drawing
  function points() {
    tiles = info.names.map((name, k) => {
      const o = handle(svg, {label: name, r: 5, hit: 16, step: () => Math.max(1, unit()), scale: unit, get: () => place(k) ?? [0, 0], pick: () => { active = k; draw(); }, move: (x, y) => put(k, x, y), drop: () => send()});
      o.querySelector('.fse-dot').style.setProperty('--c', info.colors[k]);
      o.append(h('text', {class: 'fse-ann-tag', x: 9, y: 4}, name));
      return o;
    });
    layer.replaceChildren(...tiles);
  }
  const draw = frames(() => {
    if (dead) return;
    if (!s || s.problem) { layer.replaceChildren(); tiles = []; return; }
    if (tiles.length !== info.names.length) points();
    const [w, hgt] = size();
    view[3] = view[2] * hgt / w;
    svg.setAttribute('viewBox', view.join(' '));
    tiles.forEach((o, k) => {
      const at = place(k);
      o.style.display = at ? '' : 'none';
      o.setAttribute('class', `fse-handle fse-ann-point ${s.visible[k] === UNTOUCHED ? 'fse-ann-ring' : ''} ${s.visible[k] === UNTOUCHED && s.sure[k] < .5 ? 'fse-ann-unsure' : ''} ${s.visible[k] === HIDDEN ? 'fse-ann-hidden' : ''} ${k === active ? 'fse-ann-active' : ''}`);
      if (at) o.update();
    });
    names.replaceChildren(...info.names.map((name, k) => {
      const state = s.visible[k] === MISSING ? 'missing' : s.visible[k] === HIDDEN ? 'hidden' : s.visible[k] === SEEN ? 'placed' : s.proposal[k] ? 'proposed' : 'to place';
      return h('li', {}, h('button', {type: 'button', 'aria-pressed': String(k === active), onclick: () => { active = k; draw(); svg.focus({preventScroll: true}); }},
        h('span', {class: 'fse-ann-swatch', style: `background:${info.colors[k]}`, 'aria-hidden': 'true'}), h('span', {}, name), h('span', {class: 'fse-ann-state'}, state)));
    }));
    const todo = lacking(), label = active >= 0 ? info.names[active] : '';
    prompt.classList.remove('fse-ann-now');
    prompt.textContent = active >= 0 && !place(active) && s.visible[active] !== MISSING ? `Click the ${label} (or M: missing)` : todo >= 0 ? `${info.names[todo]} is not placed yet` :
      s.done ? 'Labelled. Drag what is wrong, Enter for the next.' : s.visible.every(v => v === UNTOUCHED) ? 'Proposed. Drag what is wrong, then Enter.' : 'All points have a place: Enter for the next image.';
    hidden.disabled = active < 0 || !place(active);
    missing.disabled = active < 0;
    hidden.setAttribute('aria-pressed', String(active >= 0 && s.visible[active] === HIDDEN));
    missing.setAttribute('aria-pressed', String(active >= 0 && s.visible[active] === MISSING));
    done.disabled = todo >= 0;
  });
  function progressed() {
    undo.disabled = !info.can_undo;
    redo.disabled = !info.can_redo;
    progress.textContent = `${info.labelled} of ${info.n.toLocaleString('en')} images labelled` + (info.found < info.n ? `; landmarks found in ${info.found.toLocaleString('en')}` : '') + (info.unreadable ? `; ${info.unreadable} cannot be read` : '');
    advice.textContent = info.advice ?? '';
    job.textContent = info.job ?? job.textContent;
    out.hidden = !info.labelled;
    const c = info.curve ?? [];
    if (c.length < 2) { plot.replaceChildren(); return; }
    const W = 220, H = 70, p = curvePath(c, W, H), last = c.at(-1);
    plot.replaceChildren(h('svg', {viewBox: `-4 -6 ${W + 8} ${H + 24}`, role: 'img', 'aria-label': `leave-one-out error: ${last.error} % with ${last.n} labels, mean shape ${last.mean_shape} %`},
      h('line', {x1: 0, y1: H, x2: W, y2: H, class: 'fse-gridline'}), h('polyline', {points: p.mean, class: 'fse-curve fse-ann-mean'}), h('polyline', {points: p.error, class: 'fse-curve fse-ann-error'}),
      h('text', {x: 0, y: H + 14}, p.n0), h('text', {x: W, y: H + 14, 'text-anchor': 'end'}, `${p.n1} labels`)), h('p', {class: 'fse-ann-key'}, `error left out ${last.error.toFixed(1)}\u00a0%, mean shape ${last.mean_shape.toFixed(1)}\u00a0%`));
  }

  // ---- all images, of which only those in sight have an element
  const TILE = 76;
  async function relist() { list = {...list, ...await ask('list')}; refilter(); }
  function refilter() {
    const all = [...list.state].map((_, i) => i), kind = filter.value;
    shown = kind === 'done' ? list.labelled.concat(all.filter(i => list.state[i] === '2' && !list.labelled.includes(i))) : kind === 'todo' ? all.filter(i => list.state[i] < 2) :
      kind === 'unsure' ? all.filter(i => list.sure[i] >= 0).sort((a, b) => list.sure[a] - list.sure[b]) : all;
    track.style.width = `${shown.length * TILE}px`;
    track.replaceChildren();
    thumbs();
  }
  const thumbs = frames(() => {
    const first = Math.max(0, Math.floor(strip.scrollLeft / TILE) - 3), last = Math.min(shown.length, first + Math.ceil(strip.clientWidth / TILE) + 6);
    const old = new Map([...track.children].map(o => [+o.dataset.i, o]));
    track.replaceChildren(...shown.slice(first, last).map((i, j) => {
      const o = old.get(i) ?? tile(i);
      o.style.left = `${(first + j) * TILE}px`;
      o.dataset.state = list.state[i];
      o.setAttribute('aria-current', String(s?.i === i));
      o.setAttribute('aria-label', `image ${i + 1}, ${['not labelled', 'begun', 'labelled', 'cannot be read'][list.state[i]]}`);
      return o;
    }));
  });
  function tile(i) {
    const im = h('img', {alt: '', loading: 'lazy', draggable: 'false', width: 64, height: 64});
    picture(i, 160).then(u => { if (u) im.src = u; });
    im.onerror = () => im.remove();
    return h('button', {type: 'button', class: 'fse-ann-tile', 'data-i': i, onclick: () => go(i)}, im);
  }
  function show(i) { // in the strip
    const at = shown.indexOf(i);
    if (at >= 0) { const x = at * TILE; if (x < strip.scrollLeft || x > strip.scrollLeft + strip.clientWidth - TILE) strip.scrollLeft = x - strip.clientWidth / 2; }
    thumbs();
  }

  // ---- mouse, fingers, keys
  function zoom(f, at = [view[0] + view[2] / 2, view[1] + view[3] / 2]) {
    if (!s?.w) return;
    const most = fitView(s, size(), 1.04)[2], w = Math.max(8, Math.min(most, view[2] * f)), g = w / view[2];
    if (w === most) whole();
    else { zoomed = true; view = [at[0] + (view[0] - at[0]) * g, at[1] + (view[1] - at[1]) * g, w, view[3] * g]; }
    draw();
  }
  const fingers = new Map();
  let start = null;
  svg.addEventListener('wheel', e => { if (s?.w) { e.preventDefault(); zoom(Math.exp(.0015 * e.deltaY), toView(svg, e)); } }, {passive: false});
  svg.addEventListener('pointerdown', e => {
    if (e.target.closest('.fse-handle') || e.button) return;
    svg.setPointerCapture(e.pointerId);
    fingers.set(e.pointerId, [e.clientX, e.clientY]);
    start = fingers.size === 1 ? {at: [e.clientX, e.clientY], moved: false} : {moved: true};
  });
  svg.addEventListener('pointermove', e => {
    const before = fingers.get(e.pointerId);
    if (!before || !s?.w) return;
    const other = [...fingers].find(([id]) => id !== e.pointerId)?.[1], dx = e.clientX - before[0], dy = e.clientY - before[1];
    if (start?.at && Math.hypot(e.clientX - start.at[0], e.clientY - start.at[1]) > 5) start.moved = true;
    fingers.set(e.pointerId, [e.clientX, e.clientY]);
    if (!start?.moved) return;
    const share = other ? .5 : 1;
    view[0] -= dx * unit() * share; view[1] -= dy * unit() * share;
    if (other) zoom(Math.hypot(before[0] - other[0], before[1] - other[1]) / Math.max(1, Math.hypot(e.clientX - other[0], e.clientY - other[1])), toView(svg, {clientX: (e.clientX + other[0]) / 2, clientY: (e.clientY + other[1]) / 2}));
    draw();
  });
  svg.addEventListener('pointerup', e => {
    const click = fingers.size === 1 && start && !start.moved && fingers.has(e.pointerId);
    fingers.delete(e.pointerId);
    if (!click || !s?.w) return;
    if (active < 0) return;
    const [x, y] = toView(svg, e);
    if (x < -.5 || y < -.5 || x > s.w - .5 || y > s.h - .5) return;
    const first = !place(active);
    put(active, x, y);
    send();
    if (first) active = lacking();
  });
  svg.addEventListener('pointercancel', e => { fingers.delete(e.pointerId); start = null; });
  const leaf = d => begin(async () => { const k = shown.indexOf(s?.i); if (k >= 0 && shown[k + d] != null) await open(shown[k + d]); });
  const pressed = {
    Enter: () => finish(), h: () => setState(HIDDEN), m: () => setState(MISSING), Delete: () => setState(MISSING), z: e => step(e.shiftKey ? 'redo' : 'undo'), y: () => step('redo'), n: () => next(true), '[': () => leaf(-1), ']': () => leaf(1),
    '+': () => zoom(.8), '=': () => zoom(.8), '-': () => zoom(1.25), 0: () => { whole(); draw(); }, '?': () => help.showModal(), ' ': () => layer.setAttribute('visibility', 'hidden'),
    f: () => { const p = active >= 0 && place(active); if (p) { zoomed = true; view = fitView(s, size(), .25, [p[0] + .5, p[1] + .5]); draw(); } },
    Escape: () => { active = -1; draw(); },
  };
  function onkey(e) {
    if (help.open || e.altKey || (e.ctrlKey || e.metaKey) && !'zZyY'.includes(e.key) || e.target.closest?.('select, input, textarea')) return;
    if (['Enter', ' '].includes(e.key) && e.target.closest?.('button')) return;
    const k = e.key >= '1' && e.key <= '9' ? +e.key - 1 : -1, f = pressed[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    if (k >= 0 && k < info.names.length) { e.preventDefault(); active = k; draw(); if (s && place(k)) tiles[k]?.focus({preventScroll: true}); else svg.focus({preventScroll: true}); }
    else if (f && !e.repeat) { e.preventDefault(); f(e); }
  }
  const home = document.body.classList.contains('fse-page') ? document : el;
  const onup = e => { if (e.key === ' ') layer.removeAttribute('visibility'); };
  home.addEventListener('keydown', onkey);
  home.addEventListener('keyup', onup);
  const resized = new ResizeObserver(() => { if (s?.w) { if (!zoomed) whole(); draw(); thumbs(); } });
  resized.observe(svg);
  const timer = setInterval(async () => { if (!document.hidden && !dead && !dirty) take(await ask('status')); }, 2000);

  info = await ask('hello');
  if (failed(info)) { info = {names: [], colors: [], n: 0, labelled: 0, curve: []}; return () => clearInterval(timer); }
  formats.append(...info.formats.map(o => h('option', {value: o}, o)));
  progressed();
  await relist();
  if (info.start != null) await go(info.start);
  else { empty.hidden = false; empty.replaceChildren(h('p', {}, info.labelled ? 'All images are labelled.' : 'No image can be labelled.')); }
  if (!info.labelled && !sessionStorageSeen()) help.showModal();
  el.fseAnnotator = {state: () => s, info: () => info, idle: async () => { await queue; await work; }};
  return () => { dead = true; clearInterval(timer); resized.disconnect(); home.removeEventListener('keydown', onkey); home.removeEventListener('keyup', onup); };
}

function sessionStorageSeen() { // help opens by itself once
  try { const seen = sessionStorage.getItem('fse-help'); sessionStorage.setItem('fse-help', '1'); return !!seen; } catch { return true; }
}

export default {render};
