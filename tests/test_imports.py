"""What ``import liftnet`` leaves alone."""

OPTIONAL = [
    "torch",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "safetensors",
    "rich",
    "pandas",
    "IPython",
]


def test_the_package_imports_nothing_optional(run_python):
    run = run_python(
        f"""
        import sys
        import sklearn.model_selection

        before = set(sys.modules)  # scikit-learn may take what it finds
        import liftnet

        new = {{name.split(".")[0] for name in set(sys.modules) - before}}
        assert not new & set({OPTIONAL}), new & set({OPTIONAL})
        """
    )
    assert run.returncode == 0, run.stderr
