"The fields that pyproject.toml calls dynamic, read from settings.ini"
from configparser import ConfigParser
from pathlib import Path
from setuptools import setup

cfg = ConfigParser(delimiters=['='])
cfg.read(Path(__file__).with_name('settings.ini'), encoding='utf-8')
cfg = cfg['DEFAULT']
setup(version=cfg['version'], install_requires=cfg['requirements'].split(),
      extras_require={k:cfg[f'{k}_requirements'].split() for k in ('dev','bench','export','formats','video')},
      entry_points=dict(console_scripts=cfg['console_scripts'].split(), nbdev=['fse_nb=fse_nb._modidx:d']))
