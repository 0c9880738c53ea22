// Thin-plate splines as in fse_nb.warps. Points are flat (x0,y0,x1,y1,…) in [-1,1];
// a warp is {ctrl, coef}: n control points; n kernel weights, then the constant, x and y rows of the affine part.
import {solve} from './linalg.js';

export const kernel = d2 => d2 > 0 ? d2 * Math.log(d2) : 0; // U(r) = r² log r²

export function controlGrid(n, extent = 1) {
  const out = [];
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out.push(extent * (2 * j / (n - 1) - 1), extent * (2 * i / (n - 1) - 1));
  return out;
}

export function pixelGrid(h, w, extent = 1) {
  const out = new Float64Array(2 * h * w);
  for (let i = 0, k = 0; i < h; i++) for (let j = 0; j < w; j++) { out[k++] = (2 * j + 1 - w) / w * extent; out[k++] = (2 * i + 1 - h) / h * extent; }
  return out;
}

export function basis(pts, ctrl, Type = Float64Array) { // (N,n+3): all that depends on the points
  const n = ctrl.length / 2, m = n + 3, B = new Type(pts.length / 2 * m);
  for (let p = 0, k = 0; p < pts.length; p += 2) {
    const x = pts[p], y = pts[p + 1];
    for (let i = 0; i < 2 * n; i += 2) { const dx = x - ctrl[i], dy = y - ctrl[i + 1]; B[k++] = kernel(dx * dx + dy * dy); }
    B[k++] = 1; B[k++] = x; B[k++] = y;
  }
  return B;
}

export function apply(B, coef) { // basis times coefficients
  const m = coef.length / 2, N = B.length / m, out = new Float64Array(2 * N);
  const cx = Float64Array.from({length: m}, (_, i) => coef[2 * i]), cy = Float64Array.from({length: m}, (_, i) => coef[2 * i + 1]);
  for (let p = 0, k = 0; p < N; p++) {
    let x = 0, y = 0;
    for (let i = 0; i < m; i++) { const b = B[k++]; x += b * cx[i]; y += b * cy[i]; }
    out[2 * p] = x; out[2 * p + 1] = y;
  }
  return out;
}

export const evaluate = (warp, pts) => apply(basis(pts, warp.ctrl), warp.coef);

export function fit(src, dst, reg = 0) { // Bookstein's spline: from src to dst, bending least
  const n = src.length / 2, m = n + 3, L = new Float64Array(m * m), B = basis(src, src);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) L[i * m + j] = B[i * m + j] + (i === j ? reg : 0);
    for (let j = n; j < m; j++) L[j * m + i] = B[i * m + j];
  }
  const rhs = new Float64Array(2 * m);
  rhs.set(dst);
  return {ctrl: src, coef: solve(L, rhs, m, 2)};
}

export function add(a, b) { // the spline a(p) + b(p): all control points, all weights, the sum of the affine parts
  const na = a.ctrl.length, nb = b.ctrl.length, aff = Array.from({length: 6}, (_, i) => a.coef[na + i] + b.coef[nb + i]);
  return {ctrl: [...a.ctrl, ...b.ctrl], coef: [...Array.from(a.coef).slice(0, na), ...Array.from(b.coef).slice(0, nb), ...aff]};
}

export function jacobian({ctrl, coef}, x, y) { // [∂gx/∂x, ∂gx/∂y, ∂gy/∂x, ∂gy/∂y]
  const n = ctrl.length, J = [coef[n + 2], coef[n + 4], coef[n + 3], coef[n + 5]];
  for (let i = 0; i < n; i += 2) {
    const dx = x - ctrl[i], dy = y - ctrl[i + 1], d2 = dx * dx + dy * dy;
    if (!(d2 > 0)) continue;
    const l = 2 * (Math.log(d2) + 1);
    J[0] += coef[i] * dx * l; J[1] += coef[i] * dy * l; J[2] += coef[i + 1] * dx * l; J[3] += coef[i + 1] * dy * l;
  }
  return J;
}

export function inverse(warp, pts, steps = 40, tol = 1e-9) { // damped Newton, as ThinPlateWarp.inverse; NaN where there is no good answer
  const n = warp.ctrl.length, [tx, ty, a, c, b, d] = Array.from(warp.coef).slice(n), out = new Float64Array(pts.length);
  for (let p = 0; p < pts.length; p += 2) {
    const u = pts[p] - tx, v = pts[p + 1] - ty, det0 = a * d - b * c;
    let q = [(d * u - b * v) / det0, (a * v - c * u) / det0], damp = 1;
    const at = q => { const g = evaluate(warp, q), r = [pts[p] - g[0], pts[p + 1] - g[1]]; return [r, Math.hypot(...r)]; };
    let [r, err] = at(q), J = jacobian(warp, ...q);
    for (let s = 0; s < steps && err > tol && damp > 1e-4; s++) {
      const det = J[0] * J[3] - J[1] * J[2];
      let sx = (J[3] * r[0] - J[1] * r[1]) / det, sy = (J[0] * r[1] - J[2] * r[0]) / det;
      const k = Math.min(1, .5 / Math.hypot(sx, sy)) * damp, t = [q[0] + k * sx, q[1] + k * sy], [rt, et] = at(t);
      if (et < err) { q = t; r = rt; err = et; J = jacobian(warp, ...q); damp = Math.min(1, 2 * damp); } else damp /= 4;
    }
    const good = err <= Math.max(tol, 1e-7) && J[0] * J[3] - J[1] * J[2] > 0;
    out[p] = good ? q[0] : NaN; out[p + 1] = good ? q[1] : NaN;
  }
  return out;
}

export function folds(warp, extent = 1, n = 25) { // does det J get to zero at one of n×n places?
  const g = pixelGrid(n, n, extent);
  for (let i = 0; i < g.length; i += 2) { const J = jacobian(warp, g[i], g[i + 1]); if (J[0] * J[3] - J[1] * J[2] <= 0) return true; }
  return false;
}

export function random(seed) { // uniform numbers of a seed (mulberry32)
  let a = seed >>> 0;
  return () => {
    a = a + 0x6D2B79F5 | 0;
    let t = Math.imul(a ^ a >>> 15, 1 | a);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
}

export function drawNormals(seed, n) { // what is random in a warp: [first draws (2n), second draws (2n) or 0, (angle, scale, x, y)]
  const u = random(seed), normal = () => Math.sqrt(-2 * Math.log(1 - u())) * Math.cos(2 * Math.PI * u());
  return [Array.from({length: 2 * n}, normal), Array.from({length: 2 * n}, () => { const z = normal(); return u() < .5 ? z : 0; }), Array.from({length: 4}, normal)];
}

export function sampled(z, nCtrl, {std, extra_std, rotate, translate, scale}) { // the warp of these draws, as WarpSampler scales them
  const a = rotate * z[2][0] * Math.PI / 180, k = 1 + scale * z[2][1], c = k * Math.cos(a), s = k * Math.sin(a);
  return {ctrl: controlGrid(nCtrl), coef: [...z[0].map((o, i) => std * o + extra_std * z[1][i]), translate * z[2][2], translate * z[2][3], c, s, -s, c]};
}

const mirror = (t, n) => { // where reflection at the edges -½ and n-½ puts t
  t = Math.abs((t + .5) % (2 * n));
  return Math.min(n - 1, Math.max(0, (t > n ? 2 * n - t : t) - .5));
};

export function resample(src, field, out) { // bilinear, as warp_image: out at u is src at field(u)
  const {width: w, height: hh, data: I} = src, O = out.data;
  for (let p = 0, k = 0; p < field.length; p += 2, k += 4) {
    const x = mirror((field[p] + 1) * w / 2 - .5, w), y = mirror((field[p + 1] + 1) * hh / 2 - .5, hh);
    const j = x | 0, i = y | 0, s = x - j, t = y - i, a = 4 * (i * w + j), b = j + 1 < w ? a + 4 : a, d = i + 1 < hh ? 4 * w : 0;
    for (let c = 0; c < 3; c++) O[k + c] = (1 - t) * ((1 - s) * I[a + c] + s * I[b + c]) + t * ((1 - s) * I[a + d + c] + s * I[b + d + c]);
    O[k + 3] = 255;
  }
}
