"""Break one line of the library at a time and see a test fail.

    python tests/mutations.py              all of them, a few core-minutes each ten
    python tests/mutations.py 3 17         the third and the seventeenth
    python tests/mutations.py --list
    python tests/mutations.py --check      only whether every line to break is there, in a second

A mutation is made in a copy of the repository: in the cell that is exported, and so in the module as well. Then the
notebook is tested. A mutation that no test notices is printed as SURVIVED, and the exit status is 1. A mutation whose
line is no longer there is an error, too: the list has to follow the code.
"""
import argparse, json, os, shutil, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: what is broken, notebook, line, broken line
MUTATIONS = [
    ('the target of training is not divided by the extent', '05_train',
     'return self.g2.grid(side, side, extent=self.extent)/self.extent',
     'return self.g2.grid(side, side, extent=self.extent)'),
    ('validation draws the warps of training', '05_train',
     'stream=int(not self.training)',
     'stream=0'),
    ('γ is scaled the wrong way with K', '05_train',
     "loss.gamma *= r.gamma_at/self.learn.run_config['n_landmarks']",
     "loss.gamma *= self.learn.run_config['n_landmarks']/r.gamma_at"),
    ("the paper's recipe decays weights as AdamW does", '05_train',
     'partial(Adam, decouple_wd=r.decouple_wd,',
     'partial(Adam, decouple_wd=True,'),
    ('the seed of the weights is ignored', '05_train',
     'torch.manual_seed(seed)',
     'torch.manual_seed(0)'),
    ('the weights of the loss are set only once training begins', '05_train',
     'learn.anneal.set(0., scale=1.)',
     'pass'),
    ('a run that stops early leaves the detector at half the resolution', '05_train',
     'self.anneal.set(self.anneal.pct, scale=1.)',
     'pass'),
    ('a detector that is trained on keeps its calibration', '05_train',
     'model.geometry,model.confidence = geometry,None',
     'model.geometry = geometry'),
    ('a further run begins with widened maps', '05_train',
     'if can_soften: model.soften(1/model.temperature)',
     'if False: model.soften(1/model.temperature)'),
    ('a detector forgets by what its scores were divided', '08_export',
     'temperature=model.temperature,',
     'temperature=1.,'),
    ('confidence reads the widened maps', '06b_confidence',
     "if power is None: power = getattr(model, 'temperature', 1.)",
     'if power is None: power = 1.'),
    ('a static landmark is compared with itself', '05_train',
     "> .5*stats['static_error'].mean(0)",
     "> 2*stats['static_error'].mean(0)"),
    ('a run resumes without the moments of the optimiser', '05_train',
     'learn.opt.load_state_dict(dict(state=state',
     'dict(dict(state=state'),
    ('half resolution is ignored by the pairs', '05_train',
     'x = resize_to(x, round(g.size*g.scale), average=True)',
     'x = resize_to(x, g.size)'),
    ('views are not carried back to the image', '05b_distil',
     'return warp(model.landmarks(warped_view(geometry, x, warp, padding_mode))*geometry.extent)',
     'return model.landmarks(warped_view(geometry, x, warp, padding_mode))*geometry.extent'),
    ('the student is taught by the views of other images', '05b_distil',
     'self.taught = torch.stack(seen).mean(0)',
     'self.taught = torch.stack(seen).mean(0).flip(0)'),
    ('each round begins with the same warps', '05b_distil',
     'step if stream else step+self.round*1_000_000',
     'step'),
    ('a detector is asked for its own landmarks', '05c_choose',
     'return errors.masked_fill(torch.eye(len(errors), dtype=bool), torch.nan)',
     'return errors'),
    ('a map is asked on the images that it was fitted on', '05c_choose',
     'for fit,at in (halves,halves[::-1]):',
     'for fit,at in (halves[:1]*2,halves[1:]*2):'),
    ('relatives are asked for each other', '05c_choose',
     'if groups is not None: asked &= torch.from_numpy(np.asarray(groups)[:,None]!=np.asarray(groups))',
     'pass'),
    ('the worst of several seeds is kept', '10a_runs',
     '(s.out/table.index[0]/file.name)',
     '(s.out/table.index[-1]/file.name)'),
    ('detection in training mode', '05a_detect',
     'with evaluating(model):',
     'with torch.no_grad():'),
    ('oblong tensors are cut at the edge', '05a_detect',
     'top,left = (h-side)//2,(w-side)//2',
     'top,left = 0,0'),
    ('landmarks in the frame of the crop', '05a_detect',
     'model.points(maps, seen.shape[-2:], geometry.extent)',
     'model.points(maps, seen.shape[-2:])'),
    ('an equivariance error in training mode', '06a_errors',
     'with evaluating(model):',
     'with torch.no_grad():'),
    ('a confidence is calibrated in training mode', '06b_confidence',
     'with evaluating(model):',
     'with torch.no_grad():'),
    ('the border is left out', '04c_decode',
     'side,border,method = geometry.square,geometry.border,geometry.method',
     'side,border,method = geometry.square,0,geometry.method'),
    ('the fill is left out', '04c_decode',
     'np.full((geometry.size,geometry.size,3), geometry.fill, np.uint8)',
     'np.zeros((geometry.size,geometry.size,3), np.uint8)'),
    ('what is seen is not scaled', '04c_decode',
     'return resize_to(x, self.seen, average=True)',
     'return resize_to(x, self.crop)'),
    ('points half a pixel off', '04c_decode',
     '(pts+.5-box[...,:2])',
     '(pts-box[...,:2])'),
    ('a crop round points half a pixel off', '04a_sets',
     'centre,half = (low+high)/2,',
     'centre,half = (low+high)/2+.5,'),
    ('augmentation ignores the batch', '04f_loader',
     'SeedSequence(key)',
     'SeedSequence(key[:2])'),
    ('labels half a pixel off', '04e_datasets',
     '(np.arange(size)+.5)/size',
     'np.arange(size)/size'),
    ('pairs of lights mix poses', '04e_datasets',
     '[s.meta.person.to_numpy(),s.meta.pose.to_numpy()]',
     '[s.meta.person.to_numpy()]'),
    ('evaluation mode is not undone', '02_model',
     'for layer,mode in modes: layer.training = mode',
     'pass'),
    ('the body is not copied to another K', '02_model',
     'new.to(next(self.parameters())).body.load_state_dict(self.body.state_dict())',
     'new.to(next(self.parameters()))'),
    ('what cannot be loaded is saved', '08_export',
     'if why := _can_be_rebuilt(model):',
     "if why := '':"),
    ('x and y of the border change places in ONNX', '08_export',
     'image.permute(0,3,1,2)',
     'image.permute(0,3,2,1)'),
    ('variance of the map without its weight', '03_losses',
     'point + self.var_weight*var',
     'point + var'),
    ('windows of the diversity average instead of adding', '03_losses',
     'divisor_override=1',
     'divisor_override=None'),
    ('a file is replaced before it is whole', '00b_store',
     "open(tmp, 'wb')",
     "open(path, 'wb')"),
    ('a distance of before is read as a share', '28_results',
     "names = _PIXELS if 'px' in o else _SHARES",
     'names = _SHARES'),
    ('errors in per cent are taken for fractions', '28_results',
     "dict(mean=e['mean_shape_percent']),1",
     "dict(mean=e['mean_shape_percent']),100"),
    ('the source of a cell stands behind the first of its names', '40_site',
     'if where: last = max(where)',
     'if where: last = min(where)'),
    ('a method that is shown without its class gets no anchor', '40_site',
     "if '.' not in n or f'### {n}' in str(",
     'if True or str('),
    ('errors are divided by the eyes of the prediction', '06a_errors',
     '/eye_distance(target,',
     '/eye_distance(pred,'),
    ('mirror images are not mirrored', '06_regress',
     'detect(model, x.flip(-1))',
     'detect(model, x)'),
    ('wide layers learn as fast as narrow ones', '06c_supervised',
     'lr*64/weight.shape[1]',
     'lr'),
    ('all of a data set is trained on', '10a_runs',
     "images,about = images.where(split='train'),f'{about} (train)'",
     "images,about = images,f'{about} (train)'"),
    ('the warps of a data set are ignored', '10a_runs',
     'warps=DATASETS[s.dataset].warps if s.dataset else FACES',
     'warps=FACES'),
    ('a resumed run ignores its settings', '10a_runs',
     'return s._replace(**its),run',
     'return s,run'),
    ('training and test images change places', '10b_points',
     'Sets(fit.only(names), held.only(names)',
     'Sets(held.only(names), fit.only(names)'),
    ('the width of an image counts its border', '10b_points',
     '(cache.boxes[:,2]-cache.boxes[:,0])*square',
     '(cache.boxes[:,2]-cache.boxes[:,0])'),
    ('a labelled image is predicted by a map that saw it', '10b_points',
     'fit_on(np.flatnonzero(~out))',
     'fit_on(np.arange(len(out)))'),
    ('predictions are taken for labels', '10b_points',
     "all(f'{name}_confidence' in s.meta for name in s.names):",
     "False:"),
    ('test images that are training images by another path are not noticed', '10b_points',
     '{*map(real_path, fit.files)} & {*map(real_path, held.files)}',
     '{*map(str, fit.files)} & {*map(str, held.files)}'),
    ('a table goes on with other windows', '08a_many',
     'if grown and grown.last is not None: _same',
     'if grown and grown.last is not None and windows is None: _same'),
    ('of two places for the images the first is taken', '04d_formats',
     'if best is None or len(found)>len(best):',
     'if best is None:'),
    ('a table goes on behind half a row', '08a_many',
     '        _cut_half_line(self.path)',
     '        pass'),
    ('images that were left out are listed twice after an interruption', '08a_many',
     'known[known.row<self.done].to_csv(',
     'known.to_csv('),
    ('a point is as certain as the mean of all landmarks', '08a_many',
     'sure@torch.tensor(regressor.weights().to_numpy()).to(sure)',
     'sure.mean(1, keepdim=True).expand(-1, len(names))'),
    ('what another process could not read has a wrong place', '08a_many',
     '(row//size*n+rank)*size+row%size',
     'row'),
    ('pixels of a cache are not checked', '04c_decode',
     "int(log.pop('crc'))==_crc_of(file, data.offset)",
     "'crc' in log"),
    ('a name leads out of a tar archive', '04c_decode',
     "if '..' in (parts := Path(member.name).parts)",
     "if '...' in (parts := Path(member.name).parts)"),
    ('a turned video is turned the other way', '08c_video',
     'round(frame.rotation/90)',
     '-round(frame.rotation/90)'),
    ('a window runs away from its landmarks', '08b_find',
     'at = windows[:,:2]+centre*_square_half',
     'at = windows[:,:2]-centre*_square_half'),
    ('a doubtful landmark counts like the others in a mean over time', '08c_video',
     'np.clip(sure, .01, 1.)',
     'np.ones_like(sure)'),
    ('images in pieces keep the places of their pieces', '06b_confidence',
     'o[rng.permutation(parts**2)]',
     'o'),
]

def copy_of_the_project(folder):
    "Everything that git knows, and what is new and not ignored, without results of long runs that no test needs"
    command = ['git','ls-files','-co','--exclude-standard']
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.splitlines():
        if not (ROOT/name).is_file(): continue
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT/name, folder/name)

def mutate(notebook, line, broken):
    "Change a line of the exported cell in which it occurs; the notebook as it was"
    before = notebook.read_text(encoding='utf-8')
    nb,hits = json.loads(before),0
    for cell in nb['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type']!='code' or not source.startswith('#| export') or line not in source: continue
        hits += 1
        cell['source'] = source.replace(line, broken).splitlines(keepends=True)
    if hits!=1: raise SystemExit(f'{notebook.name}: {hits} exported cells hold the line to break: {line}')
    notebook.write_text(json.dumps(nb, indent=1, ensure_ascii=False)+'\n', encoding='utf-8')
    return before

def check():
    "Every line to break stands in one exported cell"
    with tempfile.TemporaryDirectory() as tmp:
        for _,notebook,line,broken in MUTATIONS:
            copy = Path(shutil.copy2(ROOT/'nbs'/f'{notebook}.ipynb', tmp))
            mutate(copy, line, broken)
    print(f'{len(MUTATIONS)} lines to break are there')

def module_of(notebook):
    "Name of the module that a notebook is exported to"
    for cell in json.loads(notebook.read_text(encoding='utf-8'))['cells']:
        for line in ''.join(cell['source']).splitlines():
            if line.startswith('#| default_exp'): return line.split()[-1]
    raise SystemExit(f'{notebook.name} is exported to no module')

def noticed(folder, notebook, env):
    "Whether a test of the notebook fails"
    export = f"from nbdev.export import nb_export; nb_export('nbs/{notebook}.ipynb', 'fse_nb')"
    subprocess.run([sys.executable,'-c',export], cwd=folder, env=env, check=True)
    run = subprocess.run(['nbdev-test', f'nbs/{notebook}.ipynb'], cwd=folder, env=env, capture_output=True, text=True)
    return run.returncode!=0

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('numbers', nargs='*', type=int, help='of the mutations to make, from 1; default: all')
    parser.add_argument('--list', action='store_true', help='print the mutations and stop')
    parser.add_argument('--check', action='store_true', help='see that every line to break is there and stop')
    args = parser.parse_args()
    if args.check: return check()
    if args.list:
        for i,(what,notebook,*_) in enumerate(MUTATIONS, 1): print(f'{i:2d} {notebook}: {what}')
        return
    survived,sane = 0,set()
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        copy_of_the_project(folder)
        env = os.environ | dict(PYTHONPATH=str(folder))
        for i in args.numbers or range(1, len(MUTATIONS)+1):
            what,notebook,line,broken = MUTATIONS[i-1]
            file = folder/'nbs'/f'{notebook}.ipynb'
            module = folder/'fse_nb'/f'{module_of(file)}.py'
            sound = module.read_bytes()
            if notebook not in sane and noticed(folder, notebook, env): raise SystemExit(f'{notebook} fails as it is')
            sane.add(notebook)
            before = mutate(file, line, broken)
            ok = noticed(folder, notebook, env)
            survived += not ok
            print(f"{i:2d} {'noticed ' if ok else 'SURVIVED'} {notebook}: {what}", flush=True)
            file.write_text(before, encoding='utf-8')
            module.write_bytes(sound)
    print(f'{survived} survived')
    sys.exit(bool(survived))

if __name__=='__main__': main()
