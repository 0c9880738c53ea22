"""Write nbs/site/faces-10.onnx, the detector that the live demo runs

    python tools/live_model.py [NAME]

Images (N,3,80,80) in [-1,1] to probability maps (N,10,40,40) and calibrated confidences (N,10)."""
import sys
from pathlib import Path

import torch

from fse_nb.export import load_detector

class MapsAndConfidence(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        maps = self.model.probs(images)
        return maps,self.model.confidence(maps)

def main():
    name = sys.argv[1] if len(sys.argv)>1 else 'faces-10'
    out = Path(__file__).parent.parent/'nbs/site'/f'{name}.onnx'
    model = load_detector(name)
    x = torch.zeros(1, 3, model.geometry.seen, model.geometry.seen)
    graph = MapsAndConfidence(model.to(memory_format=torch.contiguous_format))
    torch.onnx.export(graph, (x,), str(out), input_names=['images'], output_names=['probs','confidence'], dynamo=False,
                      opset_version=17)
    print(out.name, out.stat().st_size)

if __name__=='__main__': main()
