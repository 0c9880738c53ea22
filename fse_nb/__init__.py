from importlib.metadata import version
__version__ = version('fse_nb')
