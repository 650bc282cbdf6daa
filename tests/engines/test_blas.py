import faiss  # noqa: F401  (its own OpenBLAS is loaded with it)
import threadpoolctl

from teller.engines.blas import multiply_on_one_thread


def test_numpy_and_faiss_multiply_on_one_thread():
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):  # puts back what was, in the end
        multiply_on_one_thread()
        threads = {one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"}
    assert threads == {1}
