// On every page: widgets, what the keyboard needs, and a plain look where Quarto's theme is missing.
const body = document.body, here = f => new URL(f, import.meta.url).href;

const sheet = name => { if (!document.querySelector(`link[href$="site/${name}"]`)) document.head.append(Object.assign(document.createElement('link'), {rel: 'stylesheet', href: here(name), onload: () => reachable()})); };

sheet('site.css');
if (document.querySelector('math')) sheet('math.css'); // a font with the sizes and spaces that formulas need
if (!document.querySelector('#quarto-content, #quarto-header')) { // rendered by Pandoc alone
  body.classList.add('fse-plain');
  document.querySelectorAll('style').forEach(s => { if (['[class^=callout]', 'pre > code.sourceCode', 'header {'].some(t => s.textContent.includes(t))) s.remove(); });
  document.querySelectorAll('figcaption[aria-hidden]').forEach(e => e.removeAttribute('aria-hidden')); // it may hold links
  const main = document.createElement('main'), head = document.querySelector('#title-block-header');
  if (!document.querySelector('main')) { (head || body.firstElementChild).before(main); while (main.nextElementSibling) main.append(main.nextElementSibling); }
  for (const n of document.querySelectorAll('nav')) {
    const text = n.id === 'TOC' ? 'On this page' : 'All pages', d = document.createElement('details'), s = document.createElement('summary');
    n.setAttribute('aria-label', text); s.textContent = text; d.open = n.id !== 'TOC' && innerWidth > 800;
    d.append(s, ...n.childNodes); n.append(d);
  }
}

const reachable = () => document.querySelectorAll('pre, div.sourceCode, table, math[display=block], .fse-equation, .cell-output-display').forEach(e => {
  if (e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX) && !e.querySelector('a, button, input')) {
    e.tabIndex = 0; if (!e.hasAttribute('role') && !(e instanceof MathMLElement) && e.tagName !== 'TABLE') { e.setAttribute('role', 'region'); e.setAttribute('aria-label', e.matches('pre, .sourceCode') ? 'code' : 'wide content'); }
  }
});
document.readyState === 'complete' ? reachable() : addEventListener('load', reachable); // the home page loads this late; its sheets come later still
addEventListener('resize', reachable);
document.addEventListener('toggle', reachable, true);

// what links lead to inside a folded block is shown
const unfold = () => { let e = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1))); for (; e; e = e.parentElement) if (e.tagName === 'DETAILS') e.open = true; };
addEventListener('hashchange', unfold); unfold();

async function move(el) { // the demo of the home page moves for five seconds, unless somebody takes it or wants no motion
  await el.fseReady;
  const model = el.fseModel;
  if (!model || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  let stop = false;
  for (const e of ['pointerdown', 'keydown']) el.addEventListener(e, () => { stop = true; }, {once: true});
  const rotate = model.get('rotate'), t0 = performance.now();
  const step = t => {
    const s = (t - t0) / 4800;
    if (stop) return;
    model.set({rotate: Math.max(0, s >= 1 ? rotate : rotate * (1 + .9 * Math.sin(4 * Math.PI * s)))});
    if (s < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

if (document.querySelector('.fse-widget[data-widget]')) {
  await import(here('../static/mount.js'));
  document.querySelectorAll('.fse-widget[data-move]').forEach(move);
}
