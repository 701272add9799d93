"""MTCNN (Zhang et al. 2016, Joint face detection and alignment using multitask cascaded convolutional networks).

The weights, the resizing and the order of steps are facenet-pytorch's, so that the boxes are; NumPy and onnxruntime
compute them.
"""
