"""Ship a trained detector: weights in float16 with confidence and provenance, and the card, into fse_nb/weights/

    python experiments/ship.py runs/distil_faces_k30.safetensors faces-30 --category face
    python experiments/ship.py fse_nb/weights/faces-10.safetensors faces-10 --category face   # again, from what ships
    python experiments/ship.py --cards   # write all cards anew from the metadata

What the run recorded in results/ (the file's `record`, or --record) goes into the metadata: command, commit, machine,
errors. The confidence is calibrated on unlabelled training images of the run's data set (FSE_DATA), under warps of a
new seed."""
import sys
from pathlib import Path

from common import CATEGORIES, ROOT, Folders, chosen, decoded, geometry_and_warps, parser
from fse_nb.confidence import fit_confidence, fit_doubt
from fse_nb.detect import detect
from fse_nb.export import WEIGHTS, load_detector, model_card, pretrained, pretrained_table, save_detector
from fse_nb.find import fit_constellation
from fse_nb.results import read_record

LIMIT_MB = 8 # of all weights in the wheel

#: category → default data set, use and limits
ABOUT = dict(
    face=dict(data='celeba',
        use='Landmarks of one upright, roughly centred face, the eyes about a fifth of the width apart, as a '
            'first step before a few annotated points are regressed. Research only, as the data set. Not meant '
            'to identify, to judge or to watch people.',
        limits='Fails on faces that are much smaller in the frame than that; profiles and faces upside down were '
               'hardly in training. Learnt from photographs of celebrities, who do not stand for people at large; '
               'errors by group were not measured.'),
    cat=dict(data='cats',
        use='Landmarks of one upright cat head seen from the front, cut as those in training: the eyes 40 to '
            '50% of the width apart, their middle at half the width and two fifths of the height. Research '
            'only, as the data set.',
        limits='Fails where the head is smaller in the frame, as with both ears in it. Other animals and whole '
               'cats were not in training.'),
    shoe=dict(data='shoes',
        use='Landmarks of one shoe on a white ground, seen from the side as in a shop. Research only, as the '
            'data set.',
        limits='Learnt from 743 product photographs: landmarks follow turns up to about 40 degrees and are lost '
               'beyond; shoes that are worn, or on another ground, were not in training.'),
    digit=dict(data='mnist3',
        use='Landmarks of one handwritten digit, white on black, of the class it was trained for.',
        limits='Other digits give other points without warning.'))

#: data set of a run → what it is, and the licence of the data
DATA = dict(
    celeba=('CelebA (aligned), partition 0, without its labels',
            'CelebA is available for non-commercial research only and may not be redistributed '
            '(Liu et al., ICCV 2015)'),
    cats=('cat heads cut from the CAT data set (Zhang et al., ECCV 2008), without its labels',
          'published for research, without a licence text'),
    shoes=('product photographs of shoes, without labels', 'not stated by the source; research only'),
    mnist=('MNIST', 'CC BY-SA 3.0 (LeCun, Cortes, Burges)'),
    toy=('drawn faces', 'that of this library'))

def recorded(folders, run, record=None):
    "What results/ says of a run"
    name = Path(record or run.get('record') or '').stem
    file = folders.results/f'{name}.json'
    if not name or not file.is_file(): return {}
    said = read_record(file)
    numbers,machine = said['numbers'],said['machine']
    last = numbers['curve'][-1]|numbers.get('after', {}) # a distillation measures once more in the end
    gpu = f", {machine['gpu']}" if machine['gpu'] else ''
    finished = (numbers.get('calls') or [said])[-1] # the call that ended the run
    out = dict(command=said['command'], commit=finished['commit'], record=f'results/{name}.json',
               machine=f"{machine['cpu']}, {machine['cores']} cores{gpu}", pairs=last['pairs'],
               equivariance_px=last['equivariance_px'])
    for key in ('cfp_test_percent','mean_shape_percent','trunk','chain','core_seconds'):
        if numbers.get(key) is not None: out[key] = numbers[key]
    for which,e in numbers.get('tests', {}).items(): out[f'{which}_test_percent'] = 100*e['error']['mean']
    if 'cfp' in numbers.get('tests', {}): out['mean_shape_percent'] = 100*numbers['tests']['cfp']['mean_shape']['mean']
    return out

def data_key(args, run):
    "Which data set the detector was trained on: the argument, what the file says, or the category's"
    said = str(run.get('data', ''))
    return args.data or (said if said in CATEGORIES else ABOUT[args.category]['data'])

def provenance(args, model, key, found):
    "What the file will say of the detector"
    what,licence = DATA[key.rstrip('0123456789')]
    images = model.run.get('config', {}).get('n_images')
    if images: what += f', {images:,} images'
    if key[-1].isdigit(): what += f', class {key[-1]}'
    kept = ('config constellation pairs core_seconds chain equivariance_px cfp_test_percent command commit machine '
            'record').split()
    about = ABOUT[args.category]
    own = {k:v for k,v in model.run.items() if k in kept}
    return own|found|dict(name=args.name, category=args.category, data=what, licence=args.licence or licence,
                          use=args.use or about['use'], limits=args.limits or about['limits'])

def ship(args, folders):
    "Weights in half precision, calibrated, and the card"
    model = load_detector(args.file)
    key = data_key(args, model.run)
    model.run = provenance(args, model, key, recorded(folders, model.run, args.record))
    temporary = save_detector(model, args.to/f'.{args.name}.safetensors', half=True)
    try: small = load_detector(temporary) # what users will have
    finally: temporary.unlink()
    small.confidence = model.confidence if args.no_confidence else None
    if not args.no_confidence:
        _,warps = geometry_and_warps(key)
        images = decoded(model.geometry, chosen(CATEGORIES[key].sets()[0], args.images, seed=1), folders)
        moved = (detect(model, images[:200])-detect(small, images[:200])).norm(dim=-1).max().item()*images.size/2
        if moved>0: small.run['half_px'] = moved
        sure = fit_confidence(small, images, warps, n=args.images)
        small.confidence = fit_doubt(small, sure, images, warps=warps, n=200) # confidence.py asks other categories, too
        small.run['constellation'] = fit_constellation(small, images).state()
    save_detector(small, args.to/f'{args.name}.safetensors', half=True)
    (args.to/f'{args.name}.md').write_text(model_card(small, args.name), encoding='utf-8')
    return small

def arguments():
    p = parser(__doc__)
    p.add_argument('file', nargs='?', help='detector of a run: runs/X.safetensors')
    p.add_argument('name', nargs='?', help='what it will be called')
    p.add_argument('--category', choices=ABOUT)
    p.add_argument('--data', choices=CATEGORIES, help="of the run; default: what the file says, or the category's")
    p.add_argument('--licence', help='of the data; default: that of the data set')
    p.add_argument('--use', help='default: that of the category')
    p.add_argument('--limits', help='default: those of the category')
    p.add_argument('--record', help='results/*.json of the run; default: what the file says')
    p.add_argument('--images', type=int, default=600, help='for the calibration')
    p.add_argument('--no-confidence', action='store_true', help='keep what the file has')
    p.add_argument('--to', type=Path, default=WEIGHTS, help='folder of the weights')
    p.add_argument('--cards', action='store_true', help='write all cards anew')
    return p

def main():
    p = arguments()
    args = p.parse_args()
    folders = Folders.of(args)
    if args.cards:
        for n in pretrained(): (WEIGHTS/f'{n}.md').write_text(model_card(load_detector(n), n), encoding='utf-8')
        return
    if args.smoke:
        args.file,args.name,args.category,args.data = WEIGHTS/'faces-10.safetensors','toy-10','face','toy'
        args.images,args.to = 20,folders.runs
        folders.results = ROOT/'results' # where the record of faces-10 is
    if not (args.file and args.name and args.category): p.error('give FILE, NAME and --category, or --cards')
    ship(args, folders)
    if args.smoke: return print(args.to/f'{args.name}.safetensors')
    total = sum(f.stat().st_size for f in args.to.glob('*'))/1e6
    print(pretrained_table().round(2).to_string(), f'\n{total:.2f} MB of {LIMIT_MB}')
    if total>=LIMIT_MB: sys.exit('the weights are too large for the wheel: ship fewer or smaller detectors')

if __name__=='__main__': main()
