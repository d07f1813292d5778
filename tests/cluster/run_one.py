#!/usr/bin/env python3
"""Runs one test: run_one.py FILE CLASS.METHOD; exits 77 when it was skipped, having said why. With --list FILE, prints them.

FILE is without its .py, and seen from this folder.
"""
import ast
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

if sys.argv[1] == "--list":
    with open(os.path.join(HERE, sys.argv[2] + ".py")) as source:
        for node in ast.parse(source.read()).body:
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
                        print(f"{node.name}.{item.name}")
else:
    folder, module = os.path.split(os.path.join(HERE, sys.argv[1]))
    sys.path.insert(0, folder)
    result = unittest.main(module=module, argv=[sys.argv[0], "-v", sys.argv[2]], exit=False).result
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}", flush=True)
    sys.exit(1 if not result.wasSuccessful() else 77 if result.skipped else 0)
