import warnings
from importlib.metadata import version
__version__ = version('fse_nb')
warnings.filterwarnings('ignore', message='.*torch.jit.script.* is deprecated') # fastai 2.8 under torch 2.15
