"""The whole chain of runs that made a shipped detector, once more: each training in turn, then the file and its card

    python experiments/repeat.py faces-10 --list      # only say what will be run
    python experiments/repeat.py faces-10             # half an hour of one core, a little more for 30 and 50 landmarks
    python experiments/repeat.py faces-10 --seed 2    # other random numbers

The commands are those in the records that the detector's file names. All goes below --out (default: runs/repeat/NAME):
records, checkpoints, and the detector in weights/. A call that was interrupted goes on when it is called again. In the
end the errors stand beside those in the records; another machine or another version of PyTorch gives other digits."""
import os, re, shlex, subprocess, sys
from collections import namedtuple
from pathlib import Path

from common import ROOT, Folders, parser
from fse_nb.export import load_detector, pretrained
from fse_nb.results import read_record

#: one training: its record, the script, its arguments, and the detector that it writes
Step = namedtuple('Step', 'record script arguments file')

def chain_of(name):
    "Names of the records of a shipped detector, in the order of the runs"
    run = load_detector(name).run
    return [Path(o['record']).stem for o in [*(run.get('chain') or []), run]]

def option(arguments, name, value):
    "Arguments with another value of an option, or with the option, where it was not given"
    if name not in arguments: return [*arguments,name,str(value)]
    i = arguments.index(name)
    return [*arguments[:i+1],str(value),*arguments[i+2:]]

def steps_of(name, seed, runs):
    "The trainings that made a detector, each from what the one before it wrote into the folder `runs`"
    steps,teacher = [],None
    for record in chain_of(name):
        _,script,*arguments = shlex.split(read_record(ROOT/f'results/{record}.json')['command'])
        if Path(script).parent.name!='experiments' or not (ROOT/script).exists():
            raise SystemExit(f'{name} was made by {script}, which is not here any more: see results/{record}.json')
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

def errors_of(record):
    "What a record says of its detector: name → number"
    numbers = read_record(record)['numbers']
    last = numbers['curve'][-1]|numbers.get('after', {})
    tests = {f'{k}, % of the distance of the eyes':100*v['error']['mean'] for k,v in numbers.get('tests', {}).items()}
    seconds = numbers.get('chain_core_seconds') or last['core_seconds']
    return {'equivariance error, px':last['equivariance_px'],'core-seconds of the chain':seconds}|tests

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
    steps = steps_of(args.name, args.seed, place/'runs')
    small = ['--smoke'] if args.smoke else []
    for step in steps:
        if args.list: print('python', step.script, shlex.join([*step.arguments,*map(str, where)]))
        elif not (folders.results/f'{step.record}.json').exists():
            call(step.script, *step.arguments, *where, *small)
    if args.list: return
    about = ['--category',load_detector(args.name).run['category']]
    if args.smoke: about += ['--data','toy','--images','20']
    weights = folders.runs.parent/'weights'
    weights.mkdir(exist_ok=True)
    call('experiments/ship.py', steps[-1].file, args.name, *about, '--to', weights, *where)
    now = errors_of(folders.results/f'{steps[-1].record}.json')
    then = errors_of(ROOT/f'results/{chain_of(args.name)[-1]}.json')
    for what,value in then.items(): print(f'{what:45s} {now.get(what, float("nan")):9.2f}   recorded {value:9.2f}')

if __name__=='__main__': main()
