// Points from landmarks with few labels. Every shape of landmarks is laid on the mean one by a similarity: there, points lie about
// where they lie in other images, and a ridge corrects by what is left of the shape. The same ideas as in notebooks 06 and 12, in closed form.
import {solve, ridgeFit, matvec} from './linalg.js';

const times = ([a, b], [c, d]) => [a * c - b * d, a * d + b * c], over = (p, [c, d]) => times(p, [c / (c * c + d * d), -d / (c * c + d * d)]);
const mean = list => list.reduce((s, v) => s + v, 0) / list.length;
const middle = shape => [mean(shape.map(p => p[0])), mean(shape.map(p => p[1]))];

function pose(shape, of) { // the similarity p → centre + turn·p (complex) that lays `of`, which is centred, on a shape; what is left of the shape
  const centre = middle(shape), z = shape.map(p => [p[0] - centre[0], p[1] - centre[1]]);
  const size = of.reduce((s, [x, y]) => s + x * x + y * y, 0) || 1;
  let re = 0, im = 0;
  z.forEach(([x, y], k) => { re += x * of[k][0] + y * of[k][1]; im += y * of[k][0] - x * of[k][1]; });
  const turn = Math.hypot(re, im) > 1e-9 ? [re / size, im / size] : [1, 0];
  const rest = z.flatMap((p, k) => { const [x, y] = over(p, turn); return [x - of[k][0], y - of[k][1]]; });
  return {centre, turn, rest};
}
const into = ([x, y], {centre, turn}) => over([x - centre[0], y - centre[1]], turn); // a point in the frame of the mean shape
const outOf = (p, {centre, turn}) => { const [x, y] = times(p, turn); return [x + centre[0], y + centre[1]]; };

export function meanShape(shapes, rounds = 5) { // (N,K) points → (K), centred, of mean size
  const c = middle(shapes[0]);
  let m = shapes[0].map(p => [p[0] - c[0], p[1] - c[1]]);
  for (let i = 0; i < rounds; i++) {
    const poses = shapes.map(s => pose(s, m)), size = mean(poses.map(o => Math.hypot(...o.turn)));
    m = m.map((p, k) => [0, 1].map(j => size * (p[j] + mean(poses.map(o => o.rest[2 * k + j])))));
  }
  return m;
}

export function fitPoints(shapes, points, m, strength = 30) { // shapes (N,K), points (N,L) or null where missing → what `predict` takes
  const poses = shapes.map(s => pose(s, m));
  return {m, points: points[0].map((_, l) => {
    const rows = poses.map((o, i) => [o, points[i][l]]).filter(([, p]) => p);
    if (!rows.length) return null;
    const y = rows.map(([o, p]) => into(p, o)), at = middle(y), x = rows.map(([o]) => o.rest);
    const some = rows.length > 1 && mean(x.flat().map(v => v * v)) > 1e-12;
    return {at, W: some ? ridgeFit(x, y.map(p => [p[0] - at[0], p[1] - at[1]]), strength / rows.length) : null};
  })};
}

export function predict(fit, shape) { // (L), null for a point that no label has
  const o = pose(shape, fit.m);
  return fit.points.map(p => {
    if (!p) return null;
    const [x, y] = p.W ? matvec(p.W, o.rest) : [0, 0];
    return outOf([p.at[0] + x, p.at[1] + y], o);
  });
}

function inverse(A, n) {
  const I = new Float64Array(n * n);
  for (let i = 0; i < n; i++) I[i * n + i] = 1;
  return solve(A, I, n, n);
}
function moments(X, weights = null, ridge = 0) { // Σ w x xᵀ + ridge·I, flat, for rows of n numbers
  const n = X[0].length, A = new Float64Array(n * n);
  X.forEach((x, i) => { const w = weights ? weights[i] : 1; for (let a = 0; a < n; a++) for (let b = 0; b < n; b++) A[a * n + b] += w * x[a] * x[b]; });
  for (let a = 0; a < n; a++) A[a * n + a] += ridge;
  return A;
}
const dot = (a, b) => { let s = 0; for (let i = 0; i < a.length; i++) s += a[i] * b[i]; return s; };

export function whatTeaches(shapes, m, labelled, sure) { // by how much the label of each image would lower the variance for all; see notebook 12
  const N = shapes.length;
  if (N < 3) return shapes.map((_, i) => labelled.includes(i) ? 0 : 1);
  const rest = shapes.map(s => pose(s, m).rest), D = rest[0].length, c = Array.from({length: D}, (_, k) => mean(rest.map(r => r[k])));
  const away = rest.map(r => r.map((v, k) => v - c[k])), spread = Math.max(1e-6, Math.sqrt(mean(away.flat().map(v => v * v))));
  const unit = away.map(r => r.map(v => v / spread)), P = inverse(moments(unit, null, 1e-6 * N), D); // the mean variance is 1
  const distance = unit.map(r => dot(r, matvec(P, r))), median = [...distance].sort((a, b) => a - b)[N >> 1] || 1;
  const noise = distance.map((d, i) => Math.max(1, d / median) / Math.max(.05, sure[i]) ** 4);
  const F = unit.map(r => [3 * Math.sqrt(D), ...r]), A = inverse(moments(labelled.length ? labelled.map(i => F[i]) : [F[0]],
    labelled.length ? labelled.map(i => 1 / noise[i]) : [0], 100), D + 1), S = moments(F);
  return F.map((f, i) => {
    if (labelled.includes(i)) return 0;
    const towards = matvec(A, f);
    return dot(towards, matvec(S, towards)) / N / (noise[i] + dot(towards, f));
  });
}

const eyes = [['left_eye', 'right_eye'], ['left_eye_0', 'right_eye_3']];
export function leaveOneOut(shapes, points, m, names) { // errors of the fit and of the mean of the labels in %, each image left out once; null where nothing can be said
  const ids = eyes.map(o => o.map(n => names.indexOf(n))).find(([a, b]) => a >= 0 && b >= 0), err = [[], []];
  const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  shapes.forEach((shape, i) => {
    const others = [...shapes.keys()].filter(j => j !== i), there = points[i].filter(p => p);
    const low = [0, 1].map(k => Math.min(...there.map(p => p[k]))), high = [0, 1].map(k => Math.max(...there.map(p => p[k])));
    const size = ids ? points[i][ids[0]] && points[i][ids[1]] && apart(points[i][ids[0]], points[i][ids[1]]) : names.length > 1 ? apart(low, high) : 2;
    const pred = predict(fitPoints(others.map(j => shapes[j]), others.map(j => points[j]), m), shape);
    if (size > 0) points[i].forEach((p, l) => {
      const same = others.map(j => points[j][l]).filter(o => o);
      if (p && pred[l]) { err[0].push(apart(p, pred[l]) / size); err[1].push(apart(p, middle(same)) / size); }
    });
  });
  return err[0].length ? {error: 100 * mean(err[0]), mean_shape: 100 * mean(err[1])} : null;
}
