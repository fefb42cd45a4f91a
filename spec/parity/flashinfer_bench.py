"""What the schema of FlashInfer-Bench asks of the definitions and workloads of the kit, and whether each reference gives what the vectors
expect, within the bounds of the class any_order.

  flashinfer_bench.py KIT OP [--run]     prints what is wrong, and a count; OP may be *; --run needs torch

The rules are those of flashinfer_bench/data: the models in definition.py, workload.py and trace.py, and the checks "layout", "definition"
and "workload" of validate.py, whose warnings are errors here. Fields that the schema does not know are refused.
"""

import ast, glob, json, os, sys
import numpy as np

kit, problems = sys.argv[1], []
sys.path.insert(0, kit)
from judge import Kit, compare, read_safetensors

DTYPES = "float32 float16 bfloat16 float8_e4m3fn float8_e5m2 float4_e2m1 int64 int32 int16 int8 bool".split()
ARRAYS = {"float32": "float32", "float16": "float16", "bfloat16": "uint16", "int32": "int32", "int8": "int8"}
is_text = lambda x: isinstance(x, str) and x != ""


def demand(holds, where, what):
    if not holds:
        problems.append(f"{where}: {what}")
    return holds


def has_fields(given, where, /, **fields):
    """Each field is there and is what its test asks for; there are no others."""
    if demand(isinstance(given, dict) and set(given) == set(fields), where, f"expected the fields {', '.join(fields)}"):
        for name, test in fields.items():
            demand(test(given[name]), where, f"{name} is not what the schema asks for")
        return True
    return False


def check_definition(path):
    where, before = os.path.relpath(path, kit), len(problems)
    with open(path, encoding="utf-8") as file:
        one = json.load(file)
    named = lambda x: isinstance(x, dict) and all(map(is_text, x))
    text = dict.fromkeys(["name", "op_type", "description", "reference"], is_text)
    if not has_fields(one, where, **text, axes=named, inputs=named, outputs=named):
        return None
    demand([one["op_type"], one["name"] + ".json"] == path.split(os.sep)[-2:], where, "its path has another op_type or name")
    for name, axis in one["axes"].items():
        of_type = {"const": {"value": lambda x: type(x) is int and x >= 0}, "var": {}}[axis.get("type")]
        has_fields(axis, f"{where} {name}", type=is_text, description=is_text, **of_type)
    axes = lambda x: x is None or all(name in one["axes"] for name in x)
    for name, spec in {**one["inputs"], **one["outputs"]}.items():
        described = {} if spec.get("shape") is None else {"description": is_text}
        has_fields(spec, f"{where} {name}", shape=axes, dtype=DTYPES.__contains__, **described)
    demand(not set(one["inputs"]) & set(one["outputs"]), where, "an input has the name of an output")
    of_inputs = {axis for spec in one["inputs"].values() for axis in spec["shape"] or []}
    for name, axis in one["axes"].items():
        demand(axis["type"] == "const" or name in of_inputs, where, f"no input has the axis {name}")
    functions = {node.name: node for node in ast.parse(one["reference"]).body if isinstance(node, ast.FunctionDef)}
    if demand("run" in functions, where, "the reference has no function run"):
        takes = [argument.arg for argument in functions["run"].args.args]
        demand(takes == list(one["inputs"]), where, "run takes other inputs than the definition")
    return one if len(problems) == before else None


def check_workload(line, where, definition, tensors):
    if not has_fields(line, where, definition=definition["name"].__eq__, workload=lambda x: isinstance(x, dict)):
        return
    one = line["workload"]
    named = lambda x: isinstance(x, dict)
    if not has_fields(one, where, uuid=is_text, axes=named, inputs=named):
        return
    variable = {name for name, axis in definition["axes"].items() if axis["type"] == "var"}
    demand(set(one["axes"]) == variable, where, "its axes are not those of the definition")
    demand(all(type(size) is int and size > 0 for size in one["axes"].values()), where, "an axis is not above 0")
    if not demand(list(one["inputs"]) == list(definition["inputs"]), where, "its inputs are not those of the definition"):
        return
    for name, given in one["inputs"].items():
        spec = definition["inputs"][name]
        if spec["shape"] is None:
            number = int if spec["dtype"] == "int32" else (int, float)
            has_fields(given, f"{where} {name}", type="scalar".__eq__, value=lambda x: isinstance(x, number))
        elif has_fields(given, f"{where} {name}", type="safetensors".__eq__, path=is_text, tensor_key=is_text):
            found = tensors(given["path"]).get(given["tensor_key"])
            sizes = [one["axes"].get(axis, definition["axes"][axis].get("value")) for axis in spec["shape"]]
            if demand(found is not None, f"{where} {name}", "no tensor of this key"):
                demand(list(found.shape) == sizes and found.dtype == ARRAYS[spec["dtype"]], f"{where} {name}", f"expected {spec['dtype']}{sizes}, got {found.dtype}{list(found.shape)}")


def check_numbers(line, where, definition, run, case, tensors):
    """Whether the reference gives what the vectors expect."""
    import torch

    def given(name, of):
        if of["type"] == "scalar":
            return of["value"]
        array = torch.from_numpy(tensors(of["path"])[of["tensor_key"]].copy())
        return array.view(torch.bfloat16) if definition["inputs"][name]["dtype"] == "bfloat16" else array

    result = run(*(given(name, of) for name, of in line["workload"]["inputs"].items()))
    result = result if isinstance(result, tuple) else (result,)
    demand(len(result) == len(definition["outputs"]), where, f"{len(result)} outputs")
    answers = {}
    for (name, spec), value in zip(definition["outputs"].items(), result):
        demand(str(value.dtype) == "torch." + spec["dtype"], where, f"{name} is {value.dtype}")
        answers[name] = (value.view(torch.int16).numpy().view(np.uint16) if value.dtype == torch.bfloat16 else value.numpy())
    name = "any_order" if case.is_judged("any_order") else "exact"
    for wrong in compare(case, answers, name):
        problems.append(f"{where}: {wrong.tensor}{wrong.message} in the class {name}")


def main():
    vectors, files, seen, counts = Kit(kit), {}, set(), [0, 0]

    def tensors(path):
        if path not in files:
            files[path], _ = read_safetensors(os.path.join(kit, path))
        return files[path]

    for path in sorted(glob.glob(os.path.join(kit, "definitions", sys.argv[2], "*.json"))):
        definition = check_definition(path)
        if definition is None:
            continue
        counts[0] += 1
        own = path.replace(os.sep + "definitions" + os.sep, os.sep + "workloads" + os.sep) + "l"
        if not demand(os.path.exists(own), own, "no workloads"):
            continue
        if "--run" in sys.argv:
            names = {}
            exec(definition["reference"], names)
            cases = {case.index: case for case in vectors.cases(definition["op_type"])}
        with open(own, encoding="utf-8") as file:
            for line in map(json.loads, file):
                where = line["workload"]["uuid"]
                demand(where not in seen, where, "two workloads have this uuid")
                seen.add(where)
                before = len(problems)
                check_workload(line, where, definition, tensors)
                if "--run" in sys.argv and len(problems) == before:
                    check_numbers(line, where, definition, names["run"], cases[int(where.rsplit("-", 1)[1])], tensors)
                counts[1] += 1
    print("\n".join(problems[:40]))
    print(f"{counts[0]} definitions, {counts[1]} workloads, {len(problems)} problems")
    return int(bool(problems))


sys.exit(main())
