// Mounts widgets on a page without a kernel: every <div class="fse-widget" data-widget="warp" data-state='{…}' data-state-src="warp.json">.
// Files are looked up beside this one. `el.fseModel` is the state; `el.fseReady` a promise. What stood in the div stays if something fails.

export function makeModel(state) { // as much of anywidget's model as the widgets use
  const s = {...state}, on = {};
  const fire = (e, v) => [...(on[e] || [])].forEach(f => f(model, v));
  const model = {
    get: k => s[k],
    set(k, v) {
      const d = typeof k === 'object' ? k : {[k]: v}, keys = Object.keys(d).filter(k => s[k] !== d[k]);
      Object.assign(s, d);
      keys.forEach(k => fire('change:' + k, s[k]));
      if (keys.length) fire('change');
    },
    on(es, f) { es.split(' ').forEach(e => (on[e] ||= []).push(f)); },
    off(es, f) { (es ? es.split(' ') : Object.keys(on)).forEach(e => { on[e] = f ? (on[e] || []).filter(o => o !== f) : []; }); },
    save_changes() {}, send() {},
    state: () => ({...s}),
  };
  return model;
}

const here = f => new URL(f, import.meta.url);
const json = async f => { const r = await fetch(here(f)); if (!r.ok) throw Error(`${f}: ${r.status}`); return r.json(); };

export async function mount(el) {
  const {widget, state, stateSrc} = el.dataset;
  const [mod, data] = await Promise.all([import(here(widget + '.js')), stateSrc ? json(stateSrc) : {}]);
  const model = makeModel({...mod.defaults, ...data, ...JSON.parse(state || '{}')});
  const afm = typeof mod.default === 'function' ? await mod.default() : mod.default;
  await afm.initialize?.({model});
  const fallback = [...el.childNodes];
  el.replaceChildren();
  try { await afm.render({model, el}); }
  catch (e) { el.replaceChildren(...fallback); throw e; }
  el.fseModel = model;
  el.classList.add('fse-mounted');
  return model;
}

export function mountAll(root = document) {
  if (!document.querySelector('link[data-fse]')) {
    const l = Object.assign(document.createElement('link'), {rel: 'stylesheet', href: here('widgets.css')});
    l.dataset.fse = '';
    document.head.append(l);
  }
  for (const el of root.querySelectorAll('.fse-widget[data-widget]'))
    el.fseReady ||= mount(el).catch(e => { el.classList.add('fse-failed'); console.error('fse-widget', el.dataset.widget, e); });
}

if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', () => mountAll());
else mountAll();
