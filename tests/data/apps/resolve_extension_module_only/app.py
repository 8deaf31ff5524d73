import _fastthing
