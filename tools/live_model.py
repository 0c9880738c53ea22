"Write nbs/site/faces-10.onnx, the detector that the live demo runs: images (N,3,80,80) in [-1,1] to probability maps (N,10,40,40) and calibrated confidences (N,10)"
import sys
from pathlib import Path
import torch
from fse_nb.export import load_detector

class Probs(torch.nn.Module):
    def __init__(self, m): super().__init__(); self.m = m
    def forward(self, images): p = self.m.probs(images); return p,self.m.confidence(p)

name = sys.argv[1] if len(sys.argv)>1 else 'faces-10'
out = Path(__file__).parent.parent/'nbs/site'/f'{name}.onnx'
m = load_detector(name)
x = torch.zeros(1, 3, m.geometry['crop'], m.geometry['crop'])
torch.onnx.export(Probs(m.to(memory_format=torch.contiguous_format)), (x,), str(out), input_names=['images'], output_names=['probs','confidence'], dynamo=False, opset_version=17)
print(out, out.stat().st_size)
