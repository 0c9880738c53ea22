// Small dense systems, in double precision.
export function solve(A, b, n, m) { // A (n,n) and b (n,m), flat by rows → x (n,m), by elimination with pivots
  A = Float64Array.from(A); b = Float64Array.from(b);
  for (let k = 0; k < n; k++) {
    let p = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(A[i * n + k]) > Math.abs(A[p * n + k])) p = i;
    if (!(Math.abs(A[p * n + k]) > 1e-300)) return null;
    if (p !== k) {
      for (let j = 0; j < n; j++) [A[k * n + j], A[p * n + j]] = [A[p * n + j], A[k * n + j]];
      for (let j = 0; j < m; j++) [b[k * m + j], b[p * m + j]] = [b[p * m + j], b[k * m + j]];
    }
    for (let i = k + 1; i < n; i++) {
      const f = A[i * n + k] / A[k * n + k];
      if (!f) continue;
      for (let j = k; j < n; j++) A[i * n + j] -= f * A[k * n + j];
      for (let j = 0; j < m; j++) b[i * m + j] -= f * b[k * m + j];
    }
  }
  for (let k = n - 1; k >= 0; k--)
    for (let j = 0; j < m; j++) {
      let s = b[k * m + j];
      for (let i = k + 1; i < n; i++) s -= A[k * n + i] * b[i * m + j];
      b[k * m + j] = s / A[k * n + k];
    }
  return b;
}

function gram(X, n, d) { // X Xᵀ (n,n)
  const G = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) {
    let s = 0;
    for (let k = 0; k < d; k++) s += X[i * d + k] * X[j * d + k];
    G[i * n + j] = G[j * n + i] = s;
  }
  return G;
}

export function ridgeFit(xs, ys, ridge = 0) { // rows of 2K and of 2L numbers → W (2L,2K) flat; as fse_nb.regress.fit_regressor
  const n = xs.length, d = xs[0].length, m = ys[0].length, X = xs.flat(), Y = ys.flat();
  const ms = X.reduce((s, v) => s + v * v, 0) / X.length, lam = (ridge || 1e-13) * n * ms; // 1e-13: least norm, to rounding
  const W = new Float64Array(m * d);
  if (n < d) { // W = Yᵀ (X Xᵀ + λ)⁻¹ X
    const G = gram(X, n, d);
    for (let i = 0; i < n; i++) G[i * n + i] += lam;
    const a = solve(G, Y, n, m);
    for (let j = 0; j < m; j++) for (let i = 0; i < n; i++) for (let k = 0; k < d; k++) W[j * d + k] += a[i * m + j] * X[i * d + k];
  } else {     // W = ((XᵀX + λ)⁻¹ XᵀY)ᵀ
    const T = new Float64Array(d * n), R = new Float64Array(d * m);
    for (let i = 0; i < n; i++) for (let k = 0; k < d; k++) {
      T[k * n + i] = X[i * d + k];
      for (let j = 0; j < m; j++) R[k * m + j] += X[i * d + k] * Y[i * m + j];
    }
    const G = gram(T, d, n);
    for (let k = 0; k < d; k++) G[k * d + k] += lam;
    const a = solve(G, R, d, m);
    for (let j = 0; j < m; j++) for (let k = 0; k < d; k++) W[j * d + k] = a[k * m + j];
  }
  return W;
}

export function matvec(W, x) { // W (m,d) flat
  const d = x.length, y = new Float64Array(W.length / d);
  for (let j = 0; j < y.length; j++) for (let k = 0; k < d; k++) y[j] += W[j * d + k] * x[k];
  return y;
}
