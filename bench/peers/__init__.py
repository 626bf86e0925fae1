"""Times engines on ONNX models in turns, so that a slow minute of the machine hits all alike.

    engines.py    what can run a model: Lathe and the peers, with the settings each gets
    lathe_api.py  liblathe through ctypes
    worker.py     a process that holds one model in one engine and runs when it is told
    inputs.py     what a model is fed
    turns.py      starts the workers of a model, compares their outputs, lets them take turns
    report.py     tables, CSV, what became slower
    command.py    options, and all of the above for a list of models
    venv.py       the environment that has the peers
"""
