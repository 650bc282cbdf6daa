"""These tests are collected only where TELLER_VLLM_PYTHON names the interpreter of an environment with vLLM."""

import os

collect_ignore = [] if os.environ.get("TELLER_VLLM_PYTHON") else ["test_vllm.py"]
