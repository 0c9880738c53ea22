// A detector in a file as fse_export writes it. What the file says of itself, and what is asked of it, is as in `OnnxDetector` (notebook 08a).
import {loadRuntime} from './live.js';
import {h} from './ui.js';

function* fields(bytes) { // number and content of each field of a protobuf message that has a length
  let i = 0;
  const integer = () => { for (let v = 0, unit = 1; i < bytes.length; unit *= 128) { const o = bytes[i++]; v += (o & 127) * unit; if (o < 128) return v; } throw Error('it is cut off'); };
  while (i < bytes.length) {
    const tag = integer(), kind = tag % 8;
    if (kind === 0) { integer(); continue; }
    if (![1, 2, 5].includes(kind)) throw Error('it is no protobuf');
    const n = kind === 2 ? integer() : kind === 1 ? 8 : 4;
    if (kind === 2) yield [Math.floor(tag / 8), bytes.subarray(i, i + n)];
    i += n;
    if (i > bytes.length) throw Error('it is cut off');
  }
}

function metadata(bytes) { // key → text of an ONNX file: field 14, a key (1) and a value (2); the graph is field 7
  const text = new TextDecoder(), said = {}, found = [...fields(bytes)];
  if (!found.some(([n]) => n === 7)) throw Error('it has no graph');
  for (const [n, content] of found) if (n === 14) { const entry = Object.fromEntries(fields(content)); said[text.decode(entry[1])] = text.decode(entry[2]); }
  return said;
}

function geometryOf(text) { // a `Geometry` (notebook 04c); null where there is none
  const whole = (v, low) => Number.isInteger(v) && v >= low;
  try {
    const g = JSON.parse(text).geometry, size = g.square + 2 * g.border;
    const fits = whole(g.square, 1) && whole(g.border, 0) && size <= 4000 && g.fill >= 0 && g.fill <= 255 && [1, 3].includes(g.channels) && ['crop', 'squish', 'pad'].includes(g.method);
    return fits ? {...g, size} : null;
  } catch { return null; }
}

export function squareOf(bitmap, {square, border, fill, method}) { // what a detector is shown of a picture: a canvas, and the edges of what it covers in pixels of the picture; as `plan_square`
  const {width: w, height: hgt} = bitmap, size = square + 2 * border, short = Math.min(w, hgt), scale = square / Math.max(w, hgt);
  const [left, top, wide, high] = method === 'crop' ? [(w - short) / 2, (hgt - short) / 2, short, short] : [0, 0, w, hgt];
  const [newW, newH] = method === 'pad' ? [w, hgt].map(v => Math.max(1, Math.round(scale * v))) : [square, square];
  const x = border + Math.floor((square - newW) / 2), y = border + Math.floor((square - newH) / 2), sx = wide / newW, sy = high / newH;
  const c = h('canvas', {width: size, height: size}).getContext('2d', {willReadFrequently: true});
  c.fillStyle = `rgb(${fill} ${fill} ${fill})`;
  c.fillRect(0, 0, size, size);
  c.imageSmoothingQuality = 'high';
  c.drawImage(bitmap, left, top, wide, high, x, y, newW, newH);
  return {pixels: c, box: [left - x * sx, top - y * sy, left + (size - x) * sx, top + (size - y) * sy]};
}

export async function openDetector(file, ortBase) { // {geometry, find}: canvas of `squareOf` → landmarks in [-1,1] of it, mean confidence; an Error says what is wrong
  const bytes = new Uint8Array(await file.arrayBuffer()), no = why => Error(`${file.name} ${why}`);
  let said, session;
  try { said = metadata(bytes); } catch { throw no('is no ONNX file, or is damaged'); }
  const geometry = geometryOf(said.fse_nb);
  if (!geometry) throw no('does not say what it sees of a picture, as a file of fse_export does');
  const ort = await loadRuntime(ortBase), {size, channels} = geometry;
  try { session = await ort.InferenceSession.create(bytes, {executionProviders: ['wasm'], logSeverityLevel: 4}); }
  catch { throw no('holds a network that cannot be read'); }
  const [input, ...more] = session.inputMetadata, shape = input?.shape?.slice(1) ?? [], is = (...of) => of.length === shape.length && of.every((v, k) => v === shape[k]);
  const last = is(size, size, channels);
  if (more.length || input?.name !== 'image' || input.type !== 'uint8' || !last && !is(channels, size, size)) throw no(`has other inputs than a picture of ${size}×${size} pixels`);
  const wanted = ['landmarks', 'confidence'].filter(o => session.outputNames.includes(o));
  const find = async pixels => {
    const rgba = pixels.getImageData(0, 0, size, size).data, n = size * size, x = new Uint8Array(channels * n);
    for (let i = 0; i < n; i++) for (let c = 0; c < channels; c++)
      x[last ? channels * i + c : n * c + i] = channels === 3 ? rgba[4 * i + c] : Math.round(.299 * rgba[4 * i] + .587 * rgba[4 * i + 1] + .114 * rgba[4 * i + 2]);
    const {landmarks, confidence} = await session.run({image: new ort.Tensor('uint8', x, [1, ...shape])}, wanted), at = Array.from(landmarks.data, v => (2 * v + 1) / size - 1);
    if (landmarks.dims[2] !== 2 || !at.length || !at.every(Number.isFinite)) throw Error('no landmarks');
    return {landmarks: Array.from({length: at.length / 2}, (_, k) => at.slice(2 * k, 2 * k + 2)), sure: confidence ? confidence.data.reduce((s, v) => s + v, 0) / confidence.data.length : 1};
  };
  try { await find(squareOf(h('canvas', {width: size, height: size}), geometry).pixels); } catch { throw no('finds no landmarks'); }
  return {geometry, find};
}
