"""The whole chain of runs that made a shipped detector, once more: each training in turn, then the file and its card

    python experiments/repeat.py faces-10 --list      # only say what will be run
    python experiments/repeat.py faces-10             # half an hour of one core, a little more for 30 and 50 landmarks
    python experiments/repeat.py faces-10 --seed 2    # other random numbers

The commands are those in the records that the detector's file names. All goes below --out (default: runs/repeat/NAME):
records, checkpoints, and the detector in weights/. A call that was interrupted goes on when it is called again. In the
end its numbers stand beside those of the one that ships; another machine or another PyTorch gives other digits."""
import os, re, shlex, subprocess, sys
from collections import namedtuple
from pathlib import Path

from common import ROOT, Folders, parser
from fse_nb.export import load_detector, pretrained
from fse_nb.results import read_record

#: one training: its record, the script, its arguments, and the detector that it writes
Step = namedtuple('Step', 'record script arguments file')

def runs_of(run):
    "What the file of a detector says of all runs that made it, in their order"
    return [*(run.get('chain') or []),run]

def option(arguments, name, value):
    "Arguments with another value of an option, or with the option, where it was not given"
    if name not in arguments: return [*arguments,name,str(value)]
    i = arguments.index(name)
    return [*arguments[:i+1],str(value),*arguments[i+2:]]

def steps_of(shipped, seed, runs):
    "The trainings that made a detector, each from what the one before it wrote into the folder `runs`"
    steps,teacher = [],None
    for record in [Path(o['record']).stem for o in runs_of(shipped)]:
        _,script,*arguments = shlex.split(read_record(ROOT/f'results/{record}.json')['command'])
        if Path(script).parent.name!='experiments' or not (ROOT/script).exists():
            raise SystemExit(f'results/{record}.json was made by {script}, which is not here any more')
        kind,own = record.split('_', 1) # 'recipe' or 'distil', and the name of the run
        if seed is not None:
            own = re.sub(r'_s\d+$', '', own)+f'_s{seed}'
            arguments = option(arguments, '--seed', seed)
        if '--out' in arguments:
            i = arguments.index('--out')
            del arguments[i:i+2]
        if kind=='distil': arguments[0] = str(teacher)
        elif '--trunk' in arguments: arguments = option(arguments, '--trunk', teacher)
        arguments = option(arguments, '--name', own)
        teacher = runs/f"{'distil_' if kind=='distil' else ''}{own}.safetensors"
        steps.append(Step(f'{kind}_{own}', script, arguments, teacher))
    return steps

def call(script, *arguments):
    "A script of this folder as a user calls it; ends this one where it fails"
    command = ['python',script,*map(str, arguments)]
    print('$', shlex.join(command), flush=True)
    code = subprocess.run([sys.executable,*command[1:]], cwd=ROOT).returncode
    if code: raise SystemExit(f'{script} ended with {code}; call repeat.py again to go on')

def ended(step, results):
    "Whether a training is over, its test splits included: they are opened after the record is first written"
    file = results/f'{step.record}.json'
    return file.exists() and ('--test' not in step.arguments or 'tests' in read_record(file)['numbers'])

def measures(run):
    "The numbers in the file of a detector: name → number"
    errors = {k:v for k,v in run.items() if k=='equivariance_px' or k.endswith('_test_percent')}
    return errors|{'core_seconds of the chain':sum(o.get('core_seconds') or 0 for o in runs_of(run))}

def arguments():
    p = parser(__doc__)
    p.add_argument('name', nargs='?', default='faces-10', choices=pretrained(), metavar='NAME',
                   help='a detector of the package')
    p.add_argument('--seed', type=int, help='another seed in every run')
    p.add_argument('--list', action='store_true', help='say the commands and end')
    return p

def main():
    args = arguments().parse_args()
    if args.out is None and not args.smoke: args.out = ROOT/'runs'/'repeat'/args.name
    folders = Folders.of(args)
    place = Path(os.path.relpath(args.out, ROOT)) # scripts run in the root, and records name no place on one machine
    where = ['--out',place]
    shipped = load_detector(args.name).run
    steps = steps_of(shipped, args.seed, place/'runs')
    small = ['--smoke'] if args.smoke else []
    for step in steps:
        if args.list: print('python', step.script, shlex.join([*step.arguments,*map(str, where)]))
        elif not ended(step, folders.results): call(step.script, *step.arguments, *where, *small)
    if args.list: return
    about = ['--category',shipped['category']]
    if args.smoke: about += ['--data','toy','--images','20']
    weights = folders.runs.parent/'weights'
    weights.mkdir(exist_ok=True)
    call('experiments/ship.py', steps[-1].file, args.name, *about, '--to', weights, *where)
    now = measures(load_detector(weights/f'{args.name}.safetensors').run)
    for what,value in measures(shipped).items():
        print(f'{what:27s} {now.get(what, float("nan")):9.2f}   shipped {value:9.2f}')

if __name__=='__main__': main()
