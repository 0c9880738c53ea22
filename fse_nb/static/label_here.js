// The annotator's other side where there is no Python: pictures and labels are kept in this browser. Its questions, answers and records
// are those of `LabelSession` (notebook 12).
import {loadSession, readMaps, palette} from './live.js';
import {squareOf} from './onnx.js';
import {meanShape, fitPoints, predict, whatTeaches, leaveOneOut} from './shapes.js';
import {h} from './ui.js';

const UNTOUCHED = -1, FACES = {square: 100, border: 0, fill: 0, crop: 80, method: 'crop'}; // the geometry of faces-10
const round = (v, n) => +v.toFixed(n), pause = () => new Promise(f => (window.requestIdleCallback ?? setTimeout)(f));

// ---- what a reload must not lose: pictures, and a journal of changes as in labels.jsonl
export async function openStore(name = 'fse-label') {
  const db = await new Promise((done, fail) => {
    const r = indexedDB.open(name, 1);
    r.onupgradeneeded = () => ['pictures', 'journal'].forEach(o => r.result.createObjectStore(o, {autoIncrement: true}));
    r.onsuccess = () => done(r.result);
    r.onerror = () => fail(r.error);
  });
  const within = (mode, of, f) => new Promise((done, fail) => {
    const t = db.transaction(of, mode, {durability: 'strict'}), r = f(t);
    t.oncomplete = () => done(r?.result);
    t.onabort = t.onerror = () => fail(t.error ?? Error('nothing could be written'));
  });
  return {
    all: of => within('readonly', of, t => t.objectStore(of).getAll()),
    add: (of, rows) => within('readwrite', of, t => { rows.forEach(o => t.objectStore(of).add(o)); }),
    clear: () => within('readwrite', ['pictures', 'journal'], t => { t.objectStore('pictures').clear(); t.objectStore('journal').clear(); }),
  };
}

// ---- pictures
export async function facesDetector({ort, weights}) { // the shipped one, as `openDetector` gives one of the reader's
  const run = await loadSession(ort, weights), {square, crop} = FACES, edge = (square - crop) / 2;
  const find = async pixels => {
    const maps = await run(pixels.getImageData(edge, edge, crop, crop).data, crop);
    return {landmarks: readMaps(maps, crop / square), sure: maps.confidence.reduce((s, v) => s + v, 0) / maps.k};
  };
  return {geometry: FACES, find};
}

export function detectorOf(open) { // opened when first asked; a picture → landmarks in [-1,1] of what is seen of it, mean confidence, and this box
  let opened = null, queue = Promise.resolve();
  const look = async bitmap => {
    const {geometry, find} = await (opened ??= open()), {pixels, box} = squareOf(bitmap, geometry);
    return {...await find(pixels), box};
  };
  return bitmap => queue = queue.catch(() => {}).then(() => look(bitmap)); // one after the other
}

async function thumbnail(file, side) {
  const bitmap = await createImageBitmap(file), k = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const c = h('canvas', {width: Math.max(1, Math.round(bitmap.width * k)), height: Math.max(1, Math.round(bitmap.height * k))});
  c.getContext('2d').drawImage(bitmap, 0, 0, c.width, c.height);
  bitmap.close();
  return URL.createObjectURL(await new Promise(done => c.toBlob(done, 'image/jpeg', .85)));
}

class Picture { // `found` once it was looked at: landmarks and confidence, or `problem`
  constructor(name, file, L) {
    Object.assign(this, {name, file, urls: {}, points: Array(L).fill(null), visible: Array(L).fill(UNTOUCHED), done: false});
  }
  url(side) {
    const key = side > 160 ? 'whole' : 'small';
    return this.urls[key] ??= key === 'whole' ? URL.createObjectURL(this.file) : thumbnail(this.file, side).catch(() => '');
  }
  forget() { Object.values(this.urls).forEach(async u => URL.revokeObjectURL(await u)); }
  look(detect) { return this.looking ??= this.looked(detect); }
  async looked(detect) {
    let bitmap;
    try { bitmap = await createImageBitmap(this.file); }
    catch { this.problem = 'this browser cannot show it: use JPEG, PNG or WebP'; return; }
    [this.w, this.h] = [bitmap.width, bitmap.height];
    this.found = detect(bitmap).then(o => { Object.assign(this, o); this.known = true; }, () => { this.blind = true; }) // without the detector, points are placed by hand
      .finally(() => bitmap.close());
  }
  toUnit(p) { return p.map((v, k) => (v + .5 - this.box[k]) / (this.box[k + 2] - this.box[k]) * 2 - 1); }
  toPixels(p) { return p.map((v, k) => (v + 1) / 2 * (this.box[k + 2] - this.box[k]) + this.box[k] - .5); }
  unitPoints() { return this.points.map(p => p && this.toUnit(p)); }
}

// ---- labels
export class LabelSession {
  constructor(names, pictures, store, detect, save) { // pictures: {name, file}; save(name, text) hands a file to the reader
    Object.assign(this, {names, store, detect, save, past: [], future: [], labelled: [], skipped: [], curve: new Map(), job: null, version: 0, measured: 0});
    this.pictures = pictures.map(o => new Picture(o.name, o.file, names.length));
    this.number = new Map(this.pictures.map((o, i) => [o.name, i]));
    this.order = [...this.pictures.keys()].sort((a, b) => hash(this.pictures[a].name) - hash(this.pictures[b].name));
  }
  end() { this.ended = true; this.pictures.forEach(o => o.forget()); }

  apply(r) { // a record of the journal becomes the state
    const i = this.number.get(r.image), p = this.pictures[i];
    if (!p) return;
    const before = {i, points: p.points, visible: p.visible, done: p.done};
    if (r.kind === 'undo') { this.past.pop(); this.future.push(before); }
    else { this.past.push(before); if (r.kind === 'redo') this.future.pop(); else this.future = []; }
    Object.assign(p, {points: r.points, visible: r.visible, done: r.done});
    this.labelled = this.labelled.filter(k => k !== i).concat(r.done ? [i] : []);
    this.version++;
  }
  async write({i, points, visible, done}, kind) {
    const record = {image: this.pictures[i].name, points: points.map((p, k) => visible[k] > 0 ? p.map(v => round(v, 3)) : null), visible, done, kind, time: new Date().toISOString().slice(0, 19)};
    try { await this.store.add('journal', [record]); }
    catch (e) { throw Error(`this browser could not keep the last change (${e.message})`); }
    this.apply(record);
    return this.status();
  }
  async back(states, kind) {
    if (!states.length) return {i: null, ...this.status()};
    const before = states.at(-1), status = await this.write(before, kind);
    return {i: before.i, ...status};
  }

  async work() { // look at all pictures, one after the other, while the page is used
    for (const i of this.order) {
      if (this.ended) return;
      await this.need(i);
      await pause();
    }
  }
  async need(i) { // the picture, its size and landmarks known
    const p = this.pictures[i];
    await p.look(this.detect);
    await p.found;
    return p;
  }
  shape() { // the mean of some shapes
    return meanShape(this.order.map(i => this.pictures[i]).filter(p => p.known).slice(0, 300).map(p => p.landmarks));
  }
  async teaching() { // labelled pictures that the detector saw
    const labelled = [...this.labelled];
    for (const i of labelled) await this.need(i); // one after the other: a picture in memory is large
    return labelled.map(i => this.pictures[i]).filter(p => p.known);
  }
  async map() { // of all labels; null where there are none
    if (this.fitted?.version !== this.version) {
      const version = this.version, of = await this.teaching();
      this.fitted = {version, fit: of.length ? fitPoints(of.map(p => p.landmarks), of.map(p => p.unitPoints()), this.shape()) : null};
    }
    return this.fitted.fit;
  }
  async proposed(i) { // pixels, null where there is no proposal
    const nothing = this.names.map(() => null), fit = this.labelled.length ? await this.map() : null;
    if (!fit) return nothing;
    const p = await this.need(i);
    return p.known ? predict(fit, p.landmarks).map(o => o && p.toPixels(o)) : nothing;
  }

  async next() { // the number of the picture whose label teaches most; null where all are done
    const free = this.order.filter(i => !this.pictures[i].done && !this.pictures[i].problem), fresh = free.filter(i => !this.skipped.includes(i)), from = fresh.length ? fresh : free;
    const known = from.filter(i => this.pictures[i].known).slice(0, 1000);
    if (!known.length) return from[0] ?? null;
    const labelled = this.labelled.filter(i => this.pictures[i].known), pool = [...labelled, ...known];
    const gain = whatTeaches(pool.map(i => this.pictures[i].landmarks), this.shape(), [...labelled.keys()], pool.map(i => this.pictures[i].sure));
    return pool[gain.indexOf(Math.max(...gain))];
  }
  async measure() { // a point of the curve
    if (this.measured === this.version) return;
    this.measured = this.version;
    const of = await this.teaching();
    if (of.length < 2) return;
    const e = leaveOneOut(of.map(p => p.landmarks), of.map(p => p.unitPoints()), this.shape(), this.names);
    if (e) this.curve.set(of.length, {n: of.length, error: round(e.error, 3), mean_shape: round(e.mean_shape, 3)});
  }

  status() {
    const n = this.labelled.length, all = this.pictures, curve = [...this.curve.values()].filter(o => o.n <= n).sort((a, b) => a.n - b.n);
    return {n: all.length, labelled: n, found: all.filter(p => p.known || p.blind || p.problem).length, unreadable: all.filter(p => p.problem).length,
      can_undo: this.past.length > 0, can_redo: this.future.length > 0, curve, advice: advice(n, curve.map(o => o.error)), job: this.job};
  }

  async answer({ask, ...more}) {
    const questions = {hello: this.hello, open: this.open, change: this.change, next: this.nextOf, undo: () => this.back(this.past, 'undo'), redo: () => this.back(this.future, 'redo'),
      list: this.list, export: this.exported, apply: this.predicted, status: this.statusNow};
    try { return await questions[ask].call(this, more); }
    catch (e) { return {error: e.message}; }
  }
  async hello() {
    return {names: this.names, colors: this.names.map((_, k) => palette[k % palette.length]), formats: ['csv', 'coco'], start: await this.next(), ...this.status()};
  }
  async statusNow() { await this.measure(); return this.status(); }
  async open({i}) {
    const p = this.pictures[i];
    await p.look(this.detect);
    if (p.problem) return {i, name: p.name, problem: p.problem};
    return {i, name: p.name, w: p.w, h: p.h, points: [...p.points], visible: [...p.visible], done: p.done, proposal: await this.proposed(i), sure: this.names.map(() => p.sure ?? 0)};
  }
  change({i, points, visible, done}) { return this.write({i, points, visible, done}, 'change'); }
  async nextOf({i}) {
    if (i != null && !this.pictures[i].done) this.skipped.push(i);
    const next = await this.next();
    await this.measure();
    return {i: next, ...this.status()};
  }
  list() {
    const state = p => p.problem ? 3 : p.done ? 2 : p.visible.some(v => v !== UNTOUCHED) ? 1 : 0;
    return {state: this.pictures.map(state).join(''), sure: this.pictures.map(p => p.known ? round(p.sure, 2) : -1), labelled: this.labelled};
  }
  exported({to}) {
    const of = this.labelled.map(i => this.pictures[i]), [name, text] = to === 'coco' ? ['labels.json', asCoco(of, this.names)] : ['labels.csv', asCsv(of, this.names)];
    this.save(name, text);
    return {wrote: [name]};
  }
  async predicted() { // a table of all pictures
    const rows = [];
    for (const i of this.order.keys()) {
      const p = await this.need(i);
      if (p.known) rows.push({p, points: await this.proposed(i)});
      this.job = `predicting: ${i + 1} of ${this.pictures.length}`;
    }
    if (rows.some(o => o.points.includes(null))) throw Error('no labelled picture has the point ' + this.names[rows[0].points.indexOf(null)]);
    this.save('predictions.csv', table(['image', ...this.names.flatMap(n => [`${n}_x`, `${n}_y`]), 'confidence'],
      rows.map(({p, points}) => [p.name, ...points.flat().map(v => round(v, 2)), round(p.sure, 3)])));
    this.job = `wrote predictions.csv (${rows.length} pictures), the least certain with the lowest confidence`;
    return this.status();
  }
}

const hash = name => Math.imul([...name].reduce((s, c) => Math.imul(s, 31) + c.codePointAt(0) | 0, 7), 2654435761) >>> 0; // for a fixed order that is not the one of the folder

function advice(n, errors) { // as LabelSession.advice
  if (!n) return 'Label one image: from the second on, points are proposed.';
  if (n < 5) return `Label ${5 - n} more: then the error begins to mean something.`;
  if (n < 10 || errors.length < 6) return 'Go on, as long as the curve falls.';
  const two = k => (errors.at(k) + (errors.at(k - 1) ?? errors.at(k))) / 2;
  return two(-1) < .95 * two(-6) ? 'Go on: the last five labels lowered the error.' : 'The last five labels hardly lowered the error: apply the map to all images, and look at the doubtful ones.';
}

// ---- files
const cell = v => /[",\n]/.test(v) ? `"${String(v).replaceAll('"', '""')}"` : v;
const table = (head, rows) => [head, ...rows].map(r => r.map(v => cell(v ?? '')).join(',') + '\n').join('');

export const asCsv = (pictures, names) => table(['image', ...names.flatMap(n => [`${n}_x`, `${n}_y`, `${n}_v`])],
  pictures.map(p => [p.name, ...p.points.flatMap((o, k) => o ? [...o, p.visible[k]] : ['', '', 0])]));

export function asCoco(pictures, names) {
  const box = p => { const o = p.points.filter(q => q), low = [0, 1].map(k => Math.min(...o.map(q => q[k]))); return o.length ? [...low, ...[0, 1].map(k => Math.max(...o.map(q => q[k])) - low[k])] : [0, 0, 0, 0]; };
  return JSON.stringify({
    images: pictures.map((p, i) => ({id: i + 1, file_name: p.name, width: p.w, height: p.h})),
    annotations: pictures.map((p, i) => ({id: i + 1, image_id: i + 1, category_id: 1, iscrowd: 0, keypoints: p.points.flatMap((o, k) => o ? [...o, p.visible[k]] : [0, 0, 0]),
      num_keypoints: p.points.filter(o => o).length, bbox: box(p), area: box(p)[2] * box(p)[3]})),
    categories: [{id: 1, name: 'object', keypoints: names, skeleton: []}],
  });
}
