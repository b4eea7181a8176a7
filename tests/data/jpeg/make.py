"""Writes grey.jpg, progressive.jpg and cmyk.jpg from pictures of this folder, and expected.npz, how Pillow (9.4 with
libjpeg-turbo 2.1.5) decodes all of them. Run with numpy and Pillow: python3 make.py"""
import glob

import numpy as np
from PIL import Image

Image.open("cat_07.jpg").convert("L").save("grey.jpg", quality=85)
Image.open("dog_11.jpg").resize((43, 29)).save("progressive.jpg", quality=80, progressive=True)
Image.open("ship_17.jpg").convert("CMYK").save("cmyk.jpg", quality=90)
expected = {}
for name in sorted(glob.glob("*.jpg")):
    image = Image.open(name)
    expected[name[:-4]] = np.asarray(image.convert("RGB") if image.mode == "CMYK" else image)
np.savez_compressed("expected.npz", **expected)
