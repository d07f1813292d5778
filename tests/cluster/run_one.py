#!/usr/bin/env python3
"""Runs one test: run_one.py FILE CLASS.METHOD. With --list FILE, prints them."""
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
    unittest.main(module=sys.argv[1], argv=[sys.argv[0], "-v", sys.argv[2]])
