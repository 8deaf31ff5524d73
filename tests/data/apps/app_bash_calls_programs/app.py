from parsl import bash_app, python_app


@bash_app
def assemble(reads, inputs=(), stdout=None):
    # spades is what `inputs` are for
    return f"cd {reads} && THREADS=4 quast-report --in {inputs[0]} | sort -k 1; 'echo quoted; csv-cut'"


@bash_app
def convert(name, fast=False):
    command = "csv-cut -c {0} | gzip # multi-tool later"
    if fast:
        command += "; multi-tool"
    return command.format(name)


@bash_app
def chosen(tool):
    return f"{tool} --in x" if tool else "%s multi-tool" % tool


@python_app
def text():
    return "multi-tool is only a word here"


@bash_app
def joined():
    return " ".join(["python3 -m this &&", "multi-tool", "--fast"])
