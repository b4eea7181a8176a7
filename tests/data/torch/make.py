"""Writes the torch files of this folder. Run with PyTorch 1.13 or later: python3 make.py"""
import collections
import torch

torch.manual_seed(1)
net = torch.nn.Sequential(collections.OrderedDict([("conv", torch.nn.Conv1d(2, 3, 1)), ("norm", torch.nn.BatchNorm1d(3))]))
state = net.state_dict()                      # an OrderedDict with the attribute _metadata
for key in state:                             # values a reader can compute: 0, 0.5, 1, ... plus 10 per tensor
    index = list(state).index(key)
    state[key].copy_((torch.arange(state[key].numel()) * 0.5 + 10 * index).reshape(state[key].shape))
torch.save(state, "state.pt")
torch.save(state, "state-legacy.pt", _use_new_zipfile_serialization=False)
torch.save(state, "state-protocol4.pt", pickle_protocol=4)
torch.save({"epoch": 3, "lr": 1e-4, "state_dict": state, "args": {"name": "tiny"}}, "nested.pt")
torch.save({"model": state, "ema": state}, "two-models.pt")
torch.save({"net": net}, "module.pt")         # holds the network's Python class: must be refused
base = torch.arange(24.0).reshape(2, 3, 4)
torch.save({"permuted": base.permute(2, 0, 1), "expanded": torch.arange(3.0).expand(4, 3), "half": base.half().transpose(0, 2),
            "step": base[:, ::2, 1:4:2], "empty": torch.zeros(0, 5), "short": torch.arange(-2, 2, dtype=torch.int16),
            "char": torch.arange(-2, 2, dtype=torch.int8), "size": base.shape}, "views.pt")
