try:
    import firstchoicexyz
except ImportError:
    import secondchoicexyz
