#!/usr/bin/env python3
"""Runs the Python files that `mla-scale hook` prints inside stand-ins of the engines, and what they
capture through `mla-scale check`.

    python3 tests/hooks/hooks_test.py --binary build/.../mla-scale --work DIR

The stand-ins have the signatures of the real classes and compute attention in plain Python by its
definition, not with code of the product. --real-torch takes torch and safetensors as installed.
"""
import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import py_compile
import shutil
import struct
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "model")
options = None


def hook(engine):
    """The file as a user gets it, imported anew."""
    path = os.path.join(options.work, f"{engine}_hook.py")
    if options.binary:
        text = subprocess.run([options.binary, "hook", engine], check=True, capture_output=True).stdout
        with open(path, "wb") as file:
            file.write(text)
    py_compile.compile(path, doraise=True)
    specification = importlib.util.spec_from_file_location(f"{engine}_hook", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def header(path):
    with open(path, "rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))


def values(path, name):
    """The numbers of a tensor of 32-bit floats, in order."""
    with open(path, "rb") as file:
        entries = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        begin, end = entries[name]["data_offsets"]
        file.seek(begin, os.SEEK_CUR)
        return struct.unpack("<%df" % ((end - begin) // 4), file.read(end - begin))


class HookTest(unittest.TestCase):
    def setUp(self):
        self.folder = os.path.join(options.work, "captures", self.id().split(".")[-1])
        shutil.rmtree(self.folder, ignore_errors=True)
        self.said = io.StringIO()
        self.undo = []
        redirected = contextlib.redirect_stderr(self.said)
        redirected.__enter__()
        self.addCleanup(redirected.__exit__, None, None, None)

    def tearDown(self):
        for step in self.undo:
            step()

    def install(self, engine, *args, **settings):
        self.module = hook(engine)
        undo = self.module.install(*args, **{"folder": self.folder, "layers": "1", **settings})
        self.undo.append(undo)
        return undo

    def captured(self, phase, layer=1):
        rank = 0 if options.real_torch else 3  # the stand-in of torch.distributed says 3
        return os.path.join(self.folder, f"layer{layer}.{phase}.rank{rank}.safetensors")

    def check(self, path, *arguments):
        """The JSON report of check on one capture."""
        self.assertTrue(os.path.exists(path), self.said.getvalue())
        self.assertEqual([name for name in os.listdir(self.folder) if name.endswith(".tmp")], [])
        if not options.binary:
            self.skipTest("captures only")
        result = subprocess.run([options.binary, "check", MODEL, path, "-f", "json", *arguments], capture_output=True, text=True)
        self.assertIn(result.returncode, (0, 1, 4), result.stderr)
        return json.loads(result.stdout)

    def assert_match(self, path, *arguments, level="latent"):
        report = self.check(path, *arguments)
        self.assertEqual(report["verdict"], "match", json.dumps(report, indent=1)[:3000])
        self.assertEqual(report["capture"]["level"], level)
        for note in report["notes"] if "notes" in report else ():
            self.assertNotIn("do not follow from", note)
        return report

    def assert_named(self, path, bug, *arguments):
        report = self.check(path, *arguments)
        self.assertEqual(report["verdict"], "mismatch", json.dumps(report, indent=1)[:3000])
        self.assertEqual(report["diagnosis"][0]["id"], bug)


class Transformers(HookTest):
    def run_model(self, way="eager", scaling=None, rows=(24,), first=0, layers=(0, 1), mask=None, install=True, positions=None, **settings):
        import modeling_stand_in as modeling
        import numbers_of_a_layer as layer
        import torch

        modeling.ALL_ATTENTION_FUNCTIONS["registered"] = modeling.eager_attention_forward
        torch.nn.functional.scaled_dot_product_attention = modeling.sdpa
        extra = {name: settings.pop(name) for name in ("returns_lse", "breaks", "caches_latent") if name in settings}
        model = modeling.Model(*(modeling.Attention(i, layer.RIGHT if scaling is None else scaling, way, **extra) for i in layers))
        if install:
            self.install("transformers", model, **settings)
        numbers = [layer.Numbers(n, 5 + i) for i, n in enumerate(rows)]
        hidden = torch.tensor([[[0.0]] * (n - first) for n in rows])
        out = [module(hidden, numbers=numbers, first=first, attention_mask=mask, position_ids=positions) for module in model.layers]
        return model, out, numbers, hidden

    def test_a_registered_attention_function_is_captured_and_matches(self):
        self.run_model("registered")
        self.assert_match(self.captured("prefill"), level="expanded+latent")
        self.assertFalse(os.path.exists(self.captured("prefill", 0)))
        facts = header(self.captured("prefill"))["__metadata__"]
        self.assertEqual((facts["layer"], facts["phase"], facts["kernel"]), ("1", "prefill", "registered"))

    def test_eager_attention_is_captured_with_its_lse(self):
        self.run_model("eager", returns_lse=True)
        self.assertIn("lse", header(self.captured("prefill")))
        self.assert_match(self.captured("prefill"), level="expanded+latent")

    def test_remote_code_that_calls_sdpa_is_captured(self):
        self.run_model("sdpa_direct")
        self.assert_match(self.captured("prefill"), level="expanded+latent")

    def test_remote_code_of_two_matrix_products_is_captured(self):
        self.run_model("matmul")
        self.assert_match(self.captured("prefill"), level="expanded+latent")
        self.assertEqual(header(self.captured("prefill"))["__metadata__"]["kernel"], "matmul")

    def test_remote_code_under_pytorch_1_is_captured(self):
        import torch

        sdpa = torch.nn.functional.scaled_dot_product_attention  # which came with PyTorch 2
        self.addCleanup(setattr, torch.nn.functional, "scaled_dot_product_attention", sdpa)
        del torch.nn.functional.scaled_dot_product_attention
        self.run_model("matmul")
        self.assert_match(self.captured("prefill"), level="expanded+latent")

    def test_a_wrong_scale_is_named_and_the_scale_that_was_passed_is_told(self):
        import numbers_of_a_layer as layer

        for way in ("registered", "sdpa_direct", "matmul"):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.run_model(way, scaling=layer.LATENT_WIDTH)
            self.assert_named(self.captured("prefill"), "scale.latent_width")
            report = self.check(self.captured("prefill"))
            self.assertEqual(report["capture"]["declared_softmax_scale"], layer.LATENT_WIDTH)
            self.assertAlmostEqual(report["reference"]["softmax_scale"], layer.RIGHT)

    def test_results_do_not_change_and_everything_is_put_back(self):
        import modeling_stand_in as modeling
        import torch

        before = self.run_model("registered", install=False)[1]
        names = ("eager_attention_forward", "apply_rotary_pos_emb")
        originals = [getattr(modeling, name) for name in names] + [torch.matmul, modeling.ALL_ATTENTION_FUNCTIONS["registered"]]
        model, after, _, _ = self.run_model("registered")
        self.assertTrue(all(torch.equal(a, b) for a, b in zip(before, after)))
        now = [getattr(modeling, name) for name in names] + [torch.matmul, modeling.ALL_ATTENTION_FUNCTIONS["registered"]]
        self.assertTrue(all(a is b for a, b in zip(originals, now)))
        self.assertIs(torch.nn.functional.scaled_dot_product_attention, modeling.sdpa)
        self.undo.pop()()
        self.assertNotIn("forward", vars(model.layers[1]))

    def test_a_layer_is_captured_once(self):
        model, _, numbers, hidden = self.run_model("eager")
        stamp = os.stat(self.captured("prefill")).st_mtime_ns
        os.utime(self.captured("prefill"), ns=(1, 1))
        model.layers[1](hidden, numbers=numbers)
        self.assertEqual(os.stat(self.captured("prefill")).st_mtime_ns, 1, stamp)

    def test_decode_sees_all_keys_of_one_query(self):
        self.run_model("registered", rows=(40,), first=39)
        self.assertFalse(os.path.exists(self.captured("prefill")))
        self.assert_match(self.captured("decode"), level="expanded")
        self.run_model("registered", rows=(40,), first=39, caches_latent=True)
        self.assert_match(self.captured("decode"), level="expanded+latent")

    def test_heads_and_tokens_are_cut_to_what_was_asked(self):
        self.run_model("registered", heads="3", tokens=10)
        self.assertEqual(header(self.captured("prefill"))["q"]["shape"], [10, 2, 6])
        self.assert_match(self.captured("prefill"), level="expanded+latent")

    def test_a_prefix_longer_than_asked_is_left_for_another_pass(self):
        self.run_model("registered", rows=(30,), first=20, tokens=15)
        self.assertFalse(os.path.exists(self.folder))
        self.assertIn("layer 1 prefill: not captured: its requests have [30] keys", self.said.getvalue())

    def test_left_padding_is_cut(self):
        import torch

        rows, padding = 20, 6
        mask = torch.tensor([[0 if i < padding else 1 for i in range(rows)]])
        self.run_model("registered", rows=(rows,), mask=mask)
        self.assertEqual(header(self.captured("prefill"))["k"]["shape"], [rows - padding, 4, 6])
        full = torch.tensor([[[[0.0 if padding <= j <= i else -1e9 for j in range(rows)] for i in range(rows)]]])
        shutil.rmtree(self.folder)
        self.run_model("registered", rows=(rows,), mask=full)
        for name in ("q", "k"):
            self.assertEqual(header(self.captured("prefill"))[name]["shape"], [rows - padding, 4, 6])
        self.assertEqual(header(self.captured("prefill"))["__metadata__"]["mask"], "causal")

    def test_a_mask_that_is_not_causal_is_told(self):
        import torch

        window = torch.tensor([[[[0.0 if i - 3 < j <= i else -1e9 for j in range(12)] for i in range(12)]]])
        self.run_model("registered", rows=(12,), mask=window)
        self.assertIn("not plain causal", header(self.captured("prefill"))["__metadata__"]["mask"])

    def test_q_before_rotation_is_kept_with_positions(self):
        import torch

        self.run_model("registered", rows=(8,), positions=torch.tensor([list(range(8))]))
        found = header(self.captured("prefill"))
        self.assertEqual(found["q_pre"]["shape"], [8, 4, 2])
        self.assertEqual(found["k_pe_pre"]["shape"], [8, 2])
        self.assertEqual(found["positions_k"]["shape"], [8])
        before, after = values(self.captured("prefill"), "q_pre"), values(self.captured("prefill"), "q")
        for row in range(8 * 4):  # the stand-in's rotation is a quarter turn, (x, y) -> (y, -x)
            x, y = before[2 * row : 2 * row + 2]
            self.assertEqual(after[6 * row + 4 : 6 * row + 6], (y, -x))

    def test_the_models_own_error_comes_through_and_leaves_nothing_wrapped(self):
        import modeling_stand_in as modeling

        original = modeling.eager_attention_forward
        with self.assertRaisesRegex(RuntimeError, "the model's own error"):
            self.run_model("eager", breaks=True)
        self.assertIs(modeling.eager_attention_forward, original)

    def test_a_capture_that_fails_is_one_line_and_no_error(self):
        open(os.path.join(options.work, "a-file"), "w").close()
        self.run_model("registered", folder=os.path.join(options.work, "a-file", "below"))
        lines = [line for line in self.said.getvalue().splitlines() if "not captured" in line]
        self.assertEqual(len(lines), 1, self.said.getvalue())

    def test_settings_come_from_the_environment_where_nothing_is_given(self):
        os.environ.update(MLA_CAPTURE_LAYERS="5-6,9", MLA_CAPTURE_TOKENS="7")
        try:
            settings = hook("transformers").Settings.read(heads=2)
        finally:
            del os.environ["MLA_CAPTURE_LAYERS"], os.environ["MLA_CAPTURE_TOKENS"]
        self.assertEqual((settings.tokens, settings.heads, settings.folder), (7, 2, "mla-captures"))
        self.assertEqual([n for n in range(12) if settings.has_layer(n)], [5, 6, 9])


    def test_layers_that_are_no_list_of_numbers_are_an_error_of_install(self):
        for layers in ("1,two", "3-x", "x"):
            with self.assertRaises(ValueError, msg=layers):
                hook("transformers").Settings.read(layers=layers)


class Vllm(HookTest):
    def run_layer(self, decodes, prefills, chunks=1, scale=None, prefill_scale=None, old=False, **settings):
        import numbers_of_a_layer as layer
        from vllm import paged
        from vllm.model_executor.layers.attention import mla_attention as module
        from vllm.v1.attention.backends.mla import common

        scale = layer.RIGHT if scale is None else scale
        batch = paged.Batch(decodes, prefills, chunks)
        output = module.Output()
        if old:
            undo_new = module.MLAAttention
            del module.MLAAttention
            try:
                self.install("vllm", **settings)
            finally:
                module.MLAAttention = undo_new
            impl = common.MLACommonImpl(scale)
            impl.batch = batch
            named = type("Layer", (), {"layer_name": "model.layers.1.self_attn.attn", "_k_scale": 1.0})()
            method = impl._run_prefill_new_tokens
            impl.forward(named, batch.q, batch.kv_c, batch.k_pe, batch.cache, batch.metadata, output)
            self.assertEqual(impl._run_prefill_new_tokens, method)
        else:
            self.install("vllm", **settings)
            attention = module.MLAAttention(scale, prefill_scale)
            attention.batch = batch
            attention.forward_impl(batch.q, batch.kv_c, batch.k_pe, batch.cache, None, output)  # as when profiling
            attention.forward_impl(batch.q, batch.kv_c, batch.k_pe, batch.cache, batch.metadata, output=output)
            self.assertNotIn("run_prefill_new_tokens", vars(attention.prefill_backend))

    def test_prefill_and_decode_of_one_batch_are_two_captures_that_match(self):
        self.run_layer(decodes=[9, 14], prefills=[(0, 12), (0, 7)])
        self.assert_match(self.captured("prefill"), level="expanded+latent")
        self.assert_match(self.captured("decode"), "--phase", "decode")
        found = header(self.captured("prefill"))
        self.assertEqual((found["cu_seqlens_q"]["shape"], found["lse"]["shape"], found["w_uk"]["shape"]), ([3], [4, 19], [8, 4, 4]))

    def test_the_context_of_a_chunked_prefill_comes_from_the_cache(self):
        self.run_layer(decodes=[], prefills=[(13, 6), (0, 5)], chunks=3)
        self.assertEqual(header(self.captured("prefill"))["kv_c"]["shape"], [24, 8])
        self.assert_match(self.captured("prefill"))

    def test_before_the_layer_had_a_prefill_backend_it_works_too(self):
        self.run_layer(decodes=[9], prefills=[(0, 12)], old=True)
        self.assert_match(self.captured("prefill"), level="expanded+latent")
        self.assert_match(self.captured("decode"), "--phase", "decode")

    def test_the_regression_of_the_prefill_backend_is_named_and_decode_is_right(self):
        import numbers_of_a_layer as layer

        self.run_layer(decodes=[20, 17, 22, 15], prefills=[(0, 20)], prefill_scale=layer.LATENT_WIDTH)
        self.assert_named(self.captured("prefill"), "scale.latent_width")
        facts = header(self.captured("prefill"))["__metadata__"]
        self.assertEqual((float(facts["softmax_scale"]), float(facts["decode_softmax_scale"])), (layer.LATENT_WIDTH, layer.RIGHT))
        self.assert_match(self.captured("decode"), "--phase", "decode")

    def test_a_wrong_decode_scale_is_named(self):
        import numbers_of_a_layer as layer

        self.run_layer(decodes=[20, 17, 22, 15], prefills=[], scale=layer.LATENT_WIDTH)
        self.assert_named(self.captured("decode"), "scale.latent_width", "--phase", "decode")

    def test_requests_heads_and_tokens_are_cut(self):
        self.run_layer(decodes=[9, 9, 9], prefills=[(0, 12), (0, 12)], tokens=20, heads=2, requests=2)
        self.assertEqual(header(self.captured("prefill"))["q"]["shape"], [12, 2, 6])
        self.assertEqual(header(self.captured("decode"))["q"]["shape"], [2, 2, 6])
        self.assert_match(self.captured("prefill"), level="expanded+latent")
        self.assert_match(self.captured("decode"), "--phase", "decode")

    def test_an_import_does_nothing_unless_the_environment_asks(self):
        from vllm.model_executor.layers.attention.mla_attention import MLAAttention

        original = MLAAttention.forward_impl
        hook("vllm")
        self.assertIs(MLAAttention.forward_impl, original)
        os.environ["MLA_CAPTURE"] = "1"
        try:
            hook("vllm")
            self.assertIsNot(MLAAttention.forward_impl, original)
        finally:
            del os.environ["MLA_CAPTURE"]
            MLAAttention.forward_impl = original

    def test_context_parallelism_is_refused_in_one_line(self):
        from vllm.model_executor.layers.attention.mla_attention import Impl

        Impl.dcp_world_size = 2
        try:
            self.run_layer(decodes=[9], prefills=[])
        finally:
            Impl.dcp_world_size = 1
        self.assertIn("layer 1 decode: not captured: decode context parallelism", self.said.getvalue())
        self.assertFalse(os.path.exists(self.folder))


class Sglang(HookTest):
    def run_layer(self, requests, decode=False, scale=None, lse=False, separate_rope=True, **settings):
        import numbers_of_a_layer as layer
        from sglang.srt.models import deepseek_v2

        self.install("sglang", **settings)
        module = deepseek_v2.DeepseekV2AttentionMLA(layer.RIGHT if scale is None else scale, separate_rope=separate_rope)
        batch = deepseek_v2.Batch(requests, decode, mha_return_lse=lse)
        result = module(batch.positions, None, batch)
        if not options.real_torch:
            self.assertEqual([module.q_b_proj._after, module.o_proj._before], [{}, {}])
        return result

    def test_a_prefill_of_new_tokens_is_captured_as_multi_head_attention(self):
        self.run_layer([(0, 11), (0, 9)], lse=True)
        self.assertEqual(header(self.captured("prefill"))["lse"]["shape"], [20, 4])
        self.assert_match(self.captured("prefill"), level="expanded")

    def test_decode_and_a_prefill_with_prefix_are_captured_absorbed(self):
        self.run_layer([(13, 1), (19, 1), (16, 1)], decode=True)
        self.assert_match(self.captured("decode"), "--phase", "decode")
        self.run_layer([(13, 6), (4, 5)])
        self.assert_match(self.captured("prefill"))

    def test_a_backend_that_is_given_q_in_one_piece_is_captured_too(self):
        self.run_layer([(13, 1), (19, 1)], decode=True, separate_rope=False)
        self.assert_match(self.captured("decode"), "--phase", "decode")

    def test_a_wrong_scale_is_named_in_both_forms(self):
        import numbers_of_a_layer as layer

        self.run_layer([(0, 20)], scale=layer.LATENT_WIDTH)
        self.assert_named(self.captured("prefill"), "scale.latent_width")
        self.run_layer([(19, 1), (15, 1), (17, 1), (21, 1)], decode=True, scale=layer.LATENT_WIDTH)
        self.assert_named(self.captured("decode"), "scale.latent_width", "--phase", "decode")
        self.assertEqual(float(header(self.captured("decode"))["__metadata__"]["softmax_scale"]), layer.LATENT_WIDTH)

    def test_undo_puts_the_methods_back_and_results_are_the_same(self):
        import torch
        from sglang.srt.layers.radix_attention import RadixAttention
        from sglang.srt.models.deepseek_v2 import DeepseekV2AttentionMLA

        originals = DeepseekV2AttentionMLA.forward, RadixAttention.forward
        watched = self.run_layer([(13, 6)])
        self.assertIsNone(self.module._active.get())
        self.undo.pop()()
        self.assertEqual(originals, (DeepseekV2AttentionMLA.forward, RadixAttention.forward))
        again = self.run_layer([(13, 6)], layers="0")
        self.assertTrue(torch.equal(watched, again))


def main():
    global options
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", help="mla-scale; without it, --work must hold the files that hook prints")
    parser.add_argument("--work", required=True)
    parser.add_argument("--real-torch", action="store_true")
    options, rest = parser.parse_known_args()
    sys.dont_write_bytecode = True
    os.makedirs(options.work, exist_ok=True)
    sys.path.insert(0, os.path.join(HERE, "stand_ins", "engines"))
    if not options.real_torch:
        sys.path.insert(0, os.path.join(HERE, "stand_ins", "libraries"))
    unittest.main(argv=[sys.argv[0], *rest])


main()
