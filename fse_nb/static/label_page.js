// A page of the site: the annotator on the reader's own pictures, which stay in this browser.
import annotate from './annotate.js';
import {makeModel} from './mount.js';
import {LabelSession, detectorOf, facesDetector, openStore} from './label_here.js';
import {openDetector} from './onnx.js';
import {defaults as live} from './live.js';
import {h, button} from './ui.js';

export const defaults = {names: 'left_eye,right_eye,nose,left_mouth,right_mouth', weights: live.weights, ort: live.ort, examples: 'fewshot.json'};

const SHIPPED = 'faces-10';
const pathOf = file => file.webkitRelativePath || file.name;

function save(name, text) {
  const a = h('a', {href: URL.createObjectURL(new Blob([text])), download: name});
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 60_000);
}

async function drawnFaces(url) { // the sheet of drawn faces, cut
  const {sprite, landmarks} = await (await fetch(new URL(url, import.meta.url))).json();
  const sheet = await createImageBitmap(await (await fetch(sprite)).blob()), cols = 5, s = sheet.width / cols;
  return Promise.all(landmarks.map(async (_, i) => {
    const c = h('canvas', {width: s, height: s});
    c.getContext('2d').drawImage(sheet, i % cols * s, Math.floor(i / cols) * s, s, s, 0, 0, s, s);
    return new File([await new Promise(done => c.toBlob(done))], `face_${String(i).padStart(2, '0')}.png`, {type: 'image/png'});
  }));
}

async function filesOf(items) { // what was dropped, folders too
  const walk = async (entry, at = '') => {
    if (entry.isFile) return [Object.defineProperty(await new Promise((f, g) => entry.file(f, g)), 'webkitRelativePath', {value: at + entry.name})];
    const reader = entry.createReader(), found = [];
    for (;;) { // a hundred at a time
      const some = await new Promise((f, g) => reader.readEntries(f, g));
      if (!some.length) return found;
      for (const o of some) found.push(...await walk(o, `${at}${entry.name}/`));
    }
  };
  return (await Promise.all([...items].map(o => o.webkitGetAsEntry?.()).filter(o => o).map(o => walk(o)))).flat();
}

const freeTab = () => new Promise(done => { // only one tab may write
  if (!navigator.locks) return done(true);
  navigator.locks.request('fse-label', {ifAvailable: true}, lock => { done(!!lock); return lock && new Promise(() => {}); });
});

async function render({model, el}) {
  const get = k => model.get(k), detectors = new Map([[SHIPPED, detectorOf(() => facesDetector({ort: get('ort'), weights: get('weights')}))]]);
  if (!document.querySelector('link[data-fse-annotate]')) document.head.append(h('link', {rel: 'stylesheet', href: new URL('annotate.css', import.meta.url).href, 'data-fse-annotate': ''}));
  el.classList.add('fse-widget', 'fse-here');
  const note = h('p', {class: 'fse-note', role: 'status'}), say = text => { note.textContent = text; };
  const names = h('input', {type: 'text', value: get('names'), spellcheck: 'false', autocomplete: 'off'}), named = h('label', {class: 'fse-here-names'}, 'Names of the points, with commas', names);
  const chooser = (text, take, more) => { const input = h('input', {type: 'file', hidden: true, 'aria-label': text, onchange: () => { take([...input.files]); input.value = ''; }, ...more}); return [button(text, () => input.click()), input]; };
  const [files, fileInput] = chooser('Choose pictures', o => add(o), {accept: 'image/*', multiple: true}), [folder, folderInput] = chooser('Choose a folder', o => add(o), {webkitdirectory: true});
  const detector = h('select', {onchange: () => use(detector.value)}), [own, ownInput] = chooser('Use an ONNX file of yours', ([file]) => use(file.name, file), {accept: '.onnx'});
  const examples = button('Try 25 drawn faces', async () => add(await drawnFaces(get('examples'))));
  const full = button('Full screen', () => document.fullscreenElement ? document.exitFullscreen() : box.requestFullscreen(), {hidden: true});
  const afresh = button('Delete all and start over', async () => { if (confirm('Delete the labels, pictures and detectors that this page keeps in this browser?')) { await store.clear(); await restart(); } }, {hidden: true});
  const box = h('div', {class: 'fse-here-box'});
  el.append(named, h('div', {class: 'fse-row'}, files, fileInput, folder, folderInput, examples, full, afresh),
    h('div', {class: 'fse-row'}, h('label', {class: 'fse-choose'}, 'Detector', detector), own, ownInput), note, box);

  if (!await freeTab()) { [names, files, folder, examples, detector, own].forEach(o => { o.disabled = true; }); return say('This page is open in another tab: label there, or close it and reload.'); }
  let store, session = null, stop = null, current = SHIPPED, extra = []; // pictures that could not be kept
  try { store = await openStore(); }
  catch (e) { return say(`This browser keeps nothing here (${e.message}), so that labels would be lost: allow storage for this page, or leave the private window.`); }

  async function restart() { // the annotator on what is kept
    await box.querySelector('.fse-ann')?.fseAnnotator?.idle();
    const [journal, kept] = [await store.all('journal'), await store.all('pictures')], head = journal.find(o => o.names);
    const detectorFiles = new Map(journal.filter(o => o.file).map(o => [o.detector, o.file]));
    current = journal.findLast(o => o.detector)?.detector ?? SHIPPED;
    for (const [name, file] of detectorFiles) if (!detectors.has(name)) detectors.set(name, detectorOf(() => openDetector(file, get('ort'))));
    detector.replaceChildren(...[SHIPPED, ...detectorFiles.keys()].map(name => h('option', {selected: name === current}, name)));
    stop?.();
    session?.end();
    box.replaceChildren();
    session = stop = null;
    afresh.hidden = !journal.length;
    names.disabled = !!head;
    const pictures = [...kept, ...extra];
    examples.hidden = pictures.length > 0;
    full.hidden = !pictures.length || !document.fullscreenEnabled;
    if (!head) { say(`The pictures stay in this browser: nothing is sent. ${current === SHIPPED ? 'The detector of faces (5 MB) is loaded once pictures are there.' : `${current} is kept here, too.`}`); return; }
    names.value = head.names.join(',');
    if (!pictures.length) { say(`Labels of ${new Set(journal.filter(o => o.image).map(o => o.image)).size} pictures are kept here. Choose these pictures again.`); return; }
    session = new LabelSession(head.names, pictures, store, detectors.get(current), save);
    for (const record of journal) if (record.image) session.apply(record);
    say(extra.length ? 'There is no room here for all pictures: after a reload choose them again. Labels are kept.' : 'Pictures and labels are kept in this browser: a reload loses nothing. They leave it only as files that you write.');
    const heard = [], link = makeModel({}), own = session, el2 = h('div', {});
    Object.assign(link, {on: (event, f) => { if (event === 'msg:custom') heard.push(f); }, picture: (i, side) => own.pictures[i].url(side), send: async message => { const reply = await own.answer(message); heard.forEach(f => f({id: message.id, ...reply})); }});
    box.append(el2);
    stop = await annotate.render({model: link, el: el2});
    own.work();
    el.fseSession = own;
  }

  async function add(list) {
    const wanted = names.value.split(',').map(o => o.trim()).filter(o => o), known = new Set(session?.pictures.map(o => o.name));
    if (!wanted.length || new Set(wanted).size < wanted.length) return say('Give each point a name of its own, such as left_eye,right_eye,nose.');
    const pictures = list.filter(o => o.type.startsWith('image/') && !known.has(pathOf(o))).map(o => ({name: pathOf(o), file: new File([o], o.name, {type: o.type})}));
    if (!pictures.length) return say(list.length ? 'These are no pictures that are not here yet: choose JPEG, PNG or WebP files. A detector is an .onnx file.' : 'There is no picture in this folder.');
    say(`Keeping ${pictures.length} pictures …`);
    try {
      if (!(await store.all('journal')).some(o => o.names)) await store.add('journal', [{names: wanted, detector: current}]);
      try { await store.add('pictures', pictures); } catch { extra.push(...pictures); }
      await restart();
    } catch (e) { say(`This failed: ${e.message}`); }
  }

  async function use(name, file) { // a detector, from now on; a file is kept
    say(`Opening ${name} …`);
    try {
      const opened = file && await openDetector(file, get('ort'));
      await store.add('journal', [file ? {detector: name, file} : {detector: name}]).catch(e => { throw Error(`this browser could not keep ${name} (${e.message})`); });
      if (file) detectors.set(name, detectorOf(async () => opened));
      await restart();
    } catch (e) { detector.value = current; say(`${e.message}; ${current} stays.`); }
  }

  async function dropped(list) {
    const file = list.find(o => /\.onnx$/i.test(o.name)), others = list.filter(o => o !== file);
    if (file) await use(file.name, file);
    if (others.length || !file) await add(others);
  }

  el.addEventListener('dragover', e => { e.preventDefault(); el.classList.add('fse-over'); });
  el.addEventListener('dragleave', () => el.classList.remove('fse-over'));
  el.addEventListener('drop', async e => { e.preventDefault(); el.classList.remove('fse-over'); dropped(await filesOf(e.dataTransfer.items)); });
  navigator.storage?.persist?.().catch(() => {}); // asks that a full disk does not take the labels
  await restart();
}

export default {render};
