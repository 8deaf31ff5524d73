import plain.tools
