# /// script
# dependencies = ["opencv-python-headless"]
# ///
import cv2
