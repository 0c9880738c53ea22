// A shipped detector on a picture of the reader's own, in the page: onnxruntime is loaded by a click, pictures go nowhere.
import {basis, apply, evaluate, pixelGrid, drawNormals, sampled, resample} from './tps.js';
import {h, saver, listen, slider, button, check, pane} from './ui.js';

export const defaults = {
  weights: '../site/faces-10.onnx', ort: '../site/vendor/ort/', examples: [['Astronaut', '../site/astronaut.jpg'], ['Drawn face', '../site/toy-0.png'], ['Another', '../site/toy-1.png']],
  size: 100, crop: 80, n_ctrl: 10, std: .001, extra_std: .01, // the geometry of faces-10, and its warps at bend 1
  zoom: 1, center: [.5, .5], rotate: 0, bend: 0, seed: 1, status: 'off',
  landmarks: [], warped: [], carried: [], errors: [], error: null, confidence: [], warped_confidence: [],
};

export const palette = '2830ff f8b0a0 b01808 90a0ff 008060 68f0f0 e0e818 80a028 a878a0 a01878'.split(' ').map(o => '#' + o); // landmark_colors(10)
const at = f => new URL(f, import.meta.url).href;

async function bytes(url) {
  const r = await fetch(url);
  if (!r.ok) throw Error(`${url}: ${r.status}`);
  const b = await r.arrayBuffer(), head = new Uint8Array(b, 0, 2);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return b;
  return new Response(new Blob([b]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}

async function startRuntime(base) {
  const [ort, wasm] = await Promise.all([import(at(base + 'ort.wasm.min.mjs')), bytes(at(base + 'ort-wasm-simd-threaded.gz.wasm'))]);
  Object.assign(ort.env.wasm, {numThreads: 1, wasmBinary: wasm, wasmPaths: {mjs: at(base + 'ort-wasm-simd-threaded.mjs')}});
  return ort;
}
let runtime = null;
export const loadRuntime = base => runtime ??= startRuntime(base).catch(e => { runtime = null; throw e; }); // onnxruntime: WebAssembly, one thread: no special headers, no GPU

export async function loadSession(ortBase, weights) {
  const [ort, model] = await Promise.all([loadRuntime(ortBase), bytes(at(weights))]);
  const session = await ort.InferenceSession.create(new Uint8Array(model), {executionProviders: ['wasm']});
  return async (rgba, n) => { // n×n pixels → probability maps {data, k, h, w} and calibrated confidences (k)
    const x = new Float32Array(3 * n * n);
    for (let i = 0; i < n * n; i++) for (let c = 0; c < 3; c++) x[c * n * n + i] = rgba[4 * i + c] / 127.5 - 1;
    const out = await session.run({[session.inputNames[0]]: new ort.Tensor('float32', x, [1, 3, n, n])});
    const {data, dims: [, k, h, w]} = out.probs;
    return {data, k, h, w, confidence: Array.from(out.confidence.data)};
  };
}

export function readMaps({data, k, h: hh, w}, extent) { // soft-argmax in the frame of the whole image
  const points = [];
  for (let m = 0; m < k; m++) {
    let x = 0, y = 0, s = 0;
    const p = data.subarray(m * hh * w, (m + 1) * hh * w);
    for (let i = 0; i < hh; i++) for (let j = 0; j < w; j++) { const v = p[i * w + j]; s += v; x += v * j; y += v * i; }
    points.push([(2 * x / s + 1 - w) / w * extent, (2 * y / s + 1 - hh) / hh * extent]);
  }
  return points;
}

async function render({model, el}) {
  const get = k => model.get(k), save = saver(model), set = d => { model.set(d); save(); };
  el.classList.add('fse-widget', 'fse-live');
  const size = get('size'), crop = get('crop'), extent = crop / size, show = 200;
  const left = pane('Your picture: landmarks, and rings where those of the warped picture are carried to', -extent, extent);
  const right = pane('The warped picture and its own landmarks', -extent, extent);
  for (const p of [left, right]) p.canvas.width = p.canvas.height = show;
  left.classList.add('fse-drop');
  Object.assign(left.querySelector('.fse-square'), {tabIndex: 0});
  left.querySelector('.fse-square').setAttribute('role', 'group');
  left.querySelector('.fse-square').setAttribute('aria-label', 'Picture in its frame: drag or use the arrow keys to move it, plus and minus to zoom');
  const maps = h('div', {class: 'fse-maps'}), note = h('p', {class: 'fse-note', role: 'status'}), result = h('p', {class: 'fse-result'});
  let source = null, run = null, video = null, dead = false;

  // the picture in its frame: `n` pixels a side cover [-e,e] of the square that zoom and centre choose; outside, edges repeat by reflection
  const work = h('canvas', {width: size, height: size}), big = h('canvas', {width: show, height: show});
  function frame(canvas) {
    const n = canvas.width, x = canvas.getContext('2d', {willReadFrequently: true});
    const w = source.videoWidth || source.naturalWidth || source.width, hh = source.videoHeight || source.naturalHeight || source.height;
    const s = Math.min(w, hh) / get('zoom'), [cx, cy] = get('center'), ox = cx * w - s / 2, oy = cy * hh - s / 2, k = n / s;
    x.imageSmoothingQuality = 'high';
    for (let a = -1; a <= 1; a++) for (let b = -1; b <= 1; b++) { // the picture, and its mirrors around it
      x.save();
      x.translate((a * w + (a && w) - ox) * k, (b * hh + (b && hh) - oy) * k);
      x.scale(a ? -1 : 1, b ? -1 : 1);
      x.drawImage(source, 0, 0, w * k, hh * k);
      x.restore();
    }
    return x.getImageData(0, 0, n, n);
  }

  const z = () => { const d = drawNormals(get('seed'), get('n_ctrl') ** 2); d[2] = [1, 0, 0, 0]; return d; };
  const warp = () => sampled(z(), get('n_ctrl'), {std: get('std') * get('bend'), extra_std: get('extra_std') * get('bend'), rotate: get('rotate'), translate: 0, scale: 0});
  const bases = {};
  const field = (g, n) => apply(bases[n] ||= basis(pixelGrid(n, n, extent), g.ctrl, Float32Array), g.coef);
  function warped(src, g, n) { const out = new ImageData(n, n); resample(src, g ? field(g, n) : pixelGrid(n, n, extent), out); return out; }

  const dots = (pts, conf) => pts.map(([x, y], i) => h('circle', {cx: x, cy: y, r: .024, class: 'fse-point', ...(conf[i] < .5 ? {fill: 'none', style: `stroke:${palette[i % 10]}`} : {fill: palette[i % 10]})})); // hollow: more likely wrong than right
  const rings = pts => pts.map(([x, y], i) => h('circle', {cx: x, cy: y, r: .05, class: 'fse-ring', style: `stroke:${palette[i % 10]}`}));
  function drawMaps({data, k, h: hh, w, confidence}) {
    if (maps.children.length !== k) maps.replaceChildren(...Array.from({length: k}, (_, i) => {
      const c = h('canvas', {width: w, height: hh, role: 'img', 'aria-label': `probability map of landmark ${i}`});
      return h('figure', {class: 'fse-heat'}, c, h('figcaption', {}, h('span', {class: 'fse-swatch', style: `background:${palette[i % 10]}`, 'aria-hidden': 'true'}), h('span', {})));
    }));
    [...maps.children].forEach((f, i) => {
      const c = f.querySelector('canvas'), im = new ImageData(w, hh), p = data.subarray(i * hh * w, (i + 1) * hh * w), top = Math.max(...p);
      for (let j = 0; j < p.length; j++) { const v = Math.sqrt(p[j] / top); im.data.set([255 * Math.min(1, 1.6 * v), 255 * Math.max(0, 1.8 * v - .6), 255 * Math.max(0, 3 * v - 2.1), 255], 4 * j); }
      c.getContext('2d').putImageData(im, 0, 0);
      f.querySelector('figcaption span:last-child').textContent = `${i}: ${Math.round(100 * confidence[i])} %`;
    });
  }

  async function pass() { // one picture through the detector, straight and warped
    const g = get('rotate') || get('bend') ? warp() : null, straight = frame(work), shown = frame(big);
    const a = warped(straight, null, crop), b = g && warped(straight, g, crop);
    left.canvas.getContext('2d').putImageData(warped(shown, null, show), 0, 0);
    right.canvas.getContext('2d').putImageData(warped(shown, g, show), 0, 0);
    if (!run) return;
    const pa = await run(a.data, crop), A = readMaps(pa, extent), pb = g ? await run(b.data, crop) : pa, B = readMaps(pb, extent);
    const back = g ? evaluate(g, B.flat()) : B.flat(), carried = A.map((_, i) => [back[2 * i], back[2 * i + 1]]), trust = pa.confidence.reduce((s, v) => s + v, 0) / pa.k;
    const errors = A.map((p, i) => Math.hypot(p[0] - carried[i][0], p[1] - carried[i][1]) * size / 2), error = errors.reduce((s, v) => s + v, 0) / errors.length;
    left.svg.replaceChildren(...dots(A, pa.confidence), ...(g ? rings(carried) : []));
    right.svg.replaceChildren(...dots(B, pb.confidence));
    drawMaps(pa);
    result.textContent = `Mean confidence ${Math.round(100 * trust)} %. ` + (g ? `Equivariance error ${error.toFixed(2)} px of the ${crop}×${crop} crop (largest ${Math.max(...errors).toFixed(1)}).` : 'Turn or bend the picture: the landmarks should follow.')
      + (trust < .6 ? ' That is little: is there one upright face, its eyes about a quarter of the frame apart? Zoom, or drag the picture.' : '');
    el.fseFrames = {straight: straight.data, a: a.data, b: b && b.data, coef: g && Array.from(g.coef), maps: pa};
    set({landmarks: A, warped: B, carried, errors, error: g ? error : null, confidence: pa.confidence, warped_confidence: pb.confidence, status: 'ready'});
  }
  let busy = null, again = false;
  const update = () => { // the latest state wins
    if (!source || dead) return busy;
    if (busy) { again = true; return busy; }
    return busy = pass().catch(fail).finally(() => { busy = null; if (again) { again = false; update(); } });
  };
  el.fseIdle = async () => { while (busy) await busy; };
  const fail = e => { note.textContent = `This failed: ${e.message}`; set({status: 'failed'}); console.warn(e); };

  async function start() {
    if (run || get('status') === 'loading') return;
    set({status: 'loading'}); note.textContent = 'Loading 5 MB…';
    try { run = await loadSession(get('ort'), get('weights')); } catch (e) { startButton.disabled = false; return fail(e); }
    startButton.hidden = true; note.textContent = privacy; await update();
  }
  const privacy = 'Everything is computed in this page. No picture leaves it.';
  const small = im => { // a photograph of 12 megapixels need not be drawn at every step of a slider
    const k = Math.min(1, 900 / Math.min(im.naturalWidth, im.naturalHeight));
    const c = h('canvas', {width: Math.round(im.naturalWidth * k), height: Math.round(im.naturalHeight * k)}), x = c.getContext('2d');
    x.imageSmoothingQuality = 'high';
    x.drawImage(im, 0, 0, c.width, c.height);
    return c;
  };
  async function open(url, keep) { // an address or a file
    try {
      const im = new Image(), own = typeof url !== 'string';
      im.src = own ? URL.createObjectURL(url) : url;
      await im.decode();
      stop(); source = small(im); model.set({zoom: 1, center: [.5, .5]}); zoomer.update();
      if (!keep) start();
      await update();
    } catch (e) { note.textContent = 'This file cannot be read as a picture: choose a JPEG, PNG or WebP file.'; }
  }
  const fromFiles = list => { const f = [...(list || [])].find(f => f.type.startsWith('image/')); if (f) open(f); else if (list?.length) note.textContent = 'This is not a picture: choose a JPEG, PNG or WebP file.'; return !!f; };

  function stop() { video?.srcObject?.getTracks().forEach(t => t.stop()); video = null; camera.textContent = 'Camera'; }
  async function toggleCamera() {
    if (video) { const c = h('canvas', {width: video.videoWidth, height: video.videoHeight}); c.getContext('2d').drawImage(video, 0, 0); stop(); source = c; return update(); }
    try {
      const v = document.createElement('video');
      Object.assign(v, {muted: true, playsInline: true, srcObject: await navigator.mediaDevices.getUserMedia({video: {facingMode: 'user'}})});
      await v.play();
      video = source = v; camera.textContent = 'Keep this picture'; start();
      const loop = async () => { if (video !== v || dead) return; await update(); requestAnimationFrame(loop); };
      loop();
    } catch (e) { note.textContent = `No camera: ${e.message}`; }
  }

  const startButton = button('Start the detector (loads 5 MB)', () => { startButton.disabled = true; start(); });
  const file = h('input', {type: 'file', accept: 'image/*', hidden: true, 'aria-label': 'a picture of a face', onchange: () => { fromFiles(file.files); file.value = ''; }});
  const camera = button('Camera', toggleCamera);
  const row = h('div', {class: 'fse-row'}, startButton, button('Choose a picture', () => file.click()), file, camera, ...get('examples').map(([t, u]) => button(t, () => open(at(u)))));
  const sl = (key, label, min, max, step, text) => slider({label, min, max, step, show: text, get: () => get(key), set: v => { set({[key]: v}); update(); }});
  const zoomer = sl('zoom', 'zoom into the picture', .7, 4, .05, v => v.toFixed(2) + '×');
  const sliders = [sl('rotate', 'rotation of the warped picture', -60, 60, 1, v => v + '°'), sl('bend', 'bending, times the σ of training', 0, 2, .05, v => v.toFixed(2)), zoomer];
  const bend = button('Another bend', () => { set({seed: get('seed') + 1, bend: get('bend') || 1}); sliders.forEach(s => s.update()); update(); });
  el.append(h('p', {class: 'fse-note'}, 'Drop or paste a picture of one face here, choose one, use the camera, or take an example. The face should be upright and fill the frame, eyes about a quarter of its width apart: the detector does not search.'),
    row, h('div', {class: 'fse-panes'}, left, right), result, h('div', {class: 'fse-controls'}, sliders), h('div', {class: 'fse-row'}, bend),
    h('p', {class: 'fse-note'}, `Probability maps of the landmarks, each with its confidence: the probability, calibrated without labels, that a random warp brings the landmark back to within ${.04 * crop} pixels of the ${crop}. A point of less than 50 % is hollow.`), maps, note);
  note.textContent = privacy;

  const square = left.querySelector('.fse-square');
  const move = (dx, dy) => { const [x, y] = get('center'), c = v => Math.max(0, Math.min(1, v)); set({center: [c(x - dx / get('zoom')), c(y - dy / get('zoom'))]}); update(); };
  let grip = null;
  square.addEventListener('pointerdown', e => { grip = [e.clientX, e.clientY]; square.setPointerCapture(e.pointerId); });
  square.addEventListener('pointermove', e => { if (grip) { const r = square.getBoundingClientRect(); move((e.clientX - grip[0]) / r.width * extent, (e.clientY - grip[1]) / r.height * extent); grip = [e.clientX, e.clientY]; } });
  for (const t of ['pointerup', 'pointercancel']) square.addEventListener(t, () => { grip = null; });
  square.addEventListener('keydown', e => {
    const a = {ArrowLeft: [-.02, 0], ArrowRight: [.02, 0], ArrowUp: [0, -.02], ArrowDown: [0, .02]}[e.key], q = {'+': 1.1, '=': 1.1, '-': 1 / 1.1}[e.key];
    if (a) move(...a); else if (q) { set({zoom: Math.max(.7, Math.min(4, get('zoom') * q))}); zoomer.update(); update(); } else return;
    e.preventDefault();
  });
  el.addEventListener('dragover', e => { e.preventDefault(); el.classList.add('fse-over'); });
  el.addEventListener('dragleave', () => el.classList.remove('fse-over'));
  el.addEventListener('drop', e => { e.preventDefault(); el.classList.remove('fse-over'); fromFiles(e.dataTransfer.files); });
  const paste = e => { if (fromFiles(e.clipboardData?.files)) e.preventDefault(); };
  document.addEventListener('paste', paste);
  const off = listen(model, ['rotate', 'bend', 'seed', 'zoom', 'center'], () => { sliders.forEach(s => s.update()); update(); });
  await open(at(get('examples')[0][1]), true);
  return () => { dead = true; stop(); off(); document.removeEventListener('paste', paste); };
}

export default {render};
