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

const kernels = [(dx, dy, d2) => d2 * Math.log(d2), (dx, dy, d2) => 2 * dx * (Math.log(d2) + 1), (dx, dy, d2) => 2 * dy * (Math.log(d2) + 1)];
export function fielder(pts, d = 0) { // a function: warp → its values at points that stay, or its derivative along x (d = 1) or y (2)
  // A warp is linear in its weights. If it says which weights do not change (`sum`: [factor, ctrl, weights] …), what each does is computed once.
  const N = pts.length / 2, M = 4 * Math.ceil(N / 4), bases = new Map(), bends = new Map();
  const keep = (kept, k, make) => { // the four used last
    const v = kept.get(k) || make();
    kept.delete(k); kept.set(k, v);
    if (kept.size > 4) kept.delete(kept.keys().next().value);
    return v;
  };
  const rows = ctrl => keep(bases, ctrl, () => {
    const n = ctrl.length / 2, B = new Float32Array(M * n);
    for (let p = 0, k = 0; p < 2 * N; p += 2) for (let i = 0; i < 2 * n; i += 2) {
      const dx = pts[p] - ctrl[i], dy = pts[p + 1] - ctrl[i + 1], d2 = dx * dx + dy * dy;
      B[k++] = d2 > 0 ? kernels[d](dx, dy, d2) : 0;
    }
    return B;
  });
  const bend = (ctrl, w) => keep(bends, w, () => {
    const B = rows(ctrl), n = ctrl.length / 2, wx = Float64Array.from({length: n}, (_, i) => w[2 * i]), wy = Float64Array.from({length: n}, (_, i) => w[2 * i + 1]), out = new Float64Array(2 * M);
    for (let p = 0; p < M; p += 4) { // four points at a time: a weight that is loaded serves all of them
      const a = p * n, b = a + n, c = b + n, e = c + n;
      let x0 = 0, y0 = 0, x1 = 0, y1 = 0, x2 = 0, y2 = 0, x3 = 0, y3 = 0;
      for (let i = 0; i < n; i++) {
        const u = wx[i], v = wy[i], q = B[a + i], r = B[b + i], s = B[c + i], t = B[e + i];
        x0 += q * u; y0 += q * v; x1 += r * u; y1 += r * v; x2 += s * u; y2 += s * v; x3 += t * u; y3 += t * v;
      }
      const o = 2 * p;
      out[o] = x0; out[o + 1] = y0; out[o + 2] = x1; out[o + 3] = y1; out[o + 4] = x2; out[o + 5] = y2; out[o + 6] = x3; out[o + 7] = y3;
    }
    return out;
  });
  return ({ctrl, coef, sum = [[1, ctrl, coef]]}) => {
    const out = new Float64Array(2 * N), n = ctrl.length, [tx, ty, a, c, b, e] = d ? [coef[n + 2 * d], coef[n + 2 * d + 1], 0, 0, 0, 0] : Array.from(coef).slice(n);
    for (let p = 0; p < 2 * N; p += 2) { const x = pts[p], y = pts[p + 1]; out[p] = tx + a * x + b * y; out[p + 1] = ty + c * x + e * y; }
    for (const [k, q, w] of sum) if (k) { const f = bend(q, w); for (let p = 0; p < 2 * N; p++) out[p] += k * f[p]; }
    return out;
  };
}

export function foldFinder(extent = 1, n = 25) { // a function: warp → does det J get to zero at one of n×n places?
  const g = pixelGrid(n, n, extent), dx = fielder(g, 1), dy = fielder(g, 2);
  return warp => { const a = dx(warp), b = dy(warp); return a.some((_, i) => i % 2 === 0 && a[i] * b[i + 1] - a[i + 1] * b[i] <= 0); };
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
  if (t >= 0 && t <= n - 1) return t;
  t = Math.abs((t + .5) % (2 * n));
  return Math.min(n - 1, Math.max(0, (t > n ? 2 * n - t : t) - .5));
};

export function resample(src, field, out) { // bilinear, as warp_image: out at u is src at field(u)
  const {width: w, height: hh, data: I} = src, O = out.data, n = field.length;
  for (let p = 0, k = 0; p < n; p += 2, k += 4) {
    const x = mirror((field[p] + 1) * w / 2 - .5, w), y = mirror((field[p + 1] + 1) * hh / 2 - .5, hh);
    const j = x | 0, i = y | 0, s = x - j, t = y - i, a = 4 * (i * w + j), b = j + 1 < w ? a + 4 : a, d = i + 1 < hh ? 4 * w : 0;
    const p00 = (1 - t) * (1 - s), p01 = (1 - t) * s, p10 = t * (1 - s), p11 = t * s;
    O[k] = p00 * I[a] + p01 * I[b] + p10 * I[a + d] + p11 * I[b + d];
    O[k + 1] = p00 * I[a + 1] + p01 * I[b + 1] + p10 * I[a + d + 1] + p11 * I[b + d + 1];
    O[k + 2] = p00 * I[a + 2] + p01 * I[b + 2] + p10 * I[a + d + 2] + p11 * I[b + d + 2];
    O[k + 3] = 255;
  }
}
