// The page of fse_label: the annotator with a model whose messages are requests to the program that serves it.
import annotate from './annotate.js';
import {makeModel} from './mount.js';

const model = makeModel({}), heard = [], on = model.on;
model.on = (event, f) => event === 'msg:custom' ? heard.push(f) : on(event, f);
model.picture = (i, side) => `${side > 160 ? 'image' : 'thumb'}/${i}`;
model.send = async message => {
  let reply;
  try { reply = await (await fetch('ask', {method: 'POST', body: JSON.stringify(message)})).json(); }
  catch { reply = {offline: true, error: 'fse_label does not answer. Start it again with the same command: all that was saved is there.'}; }
  heard.forEach(f => f({id: message.id, ...reply}));
};
const el = document.querySelector('#annotate');
el.replaceChildren();
annotate.render({model, el});
