#!/usr/bin/env python3
"""Captures from the attention modules of transformers itself, with random weights: what a user's hook would see.

Needs torch with CUDA, transformers and safetensors. Writes one capture a file format, so that the readers meet what
torch.save, numpy.save, numpy.savez and safetensors really write:

    python3 tests/gpu/transformers_captures.py --out DIR

truth.json says for each file which config of testdata/zoo it belongs to and what is wrong with it.
"""
import argparse, importlib, json, os, warnings

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

warnings.filterwarnings("ignore")
YARN = dict(type="yarn", factor=40, original_max_position_embeddings=4096, beta_fast=32, beta_slow=1)
COMMON = dict(num_attention_heads=2, num_key_value_heads=2, hidden_size=256, num_hidden_layers=1, q_lora_rank=64)
MODELS = {
    "deepseek_v3": ("DeepseekV3", "deepseek-ai--DeepSeek-V3", dict(
        COMMON, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128,
        max_position_embeddings=163840, rope_theta=10000, rope_scaling=dict(YARN, mscale=1.0, mscale_all_dim=1.0))),
    "deepseek_v2": ("DeepseekV2", "deepseek-ai--DeepSeek-V2-Lite", dict(
        COMMON, kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128,
        max_position_embeddings=163840, rope_theta=10000, rope_scaling=dict(YARN, mscale=0.707, mscale_all_dim=0.707))),
    "glm4_moe_lite": ("Glm4MoeLite", "zai-org--GLM-4.7-Flash", dict(
        COMMON, kv_lora_rank=512, qk_nope_head_dim=192, qk_rope_head_dim=64, v_head_dim=256,
        max_position_embeddings=202752, rope_theta=1000000)),
    "minicpm3": ("MiniCPM3", "openbmb--MiniCPM3-4B", dict(
        COMMON, kv_lora_rank=256, qk_nope_head_dim=64, qk_rope_head_dim=32, v_head_dim=64,
        max_position_embeddings=32768, rope_theta=10000)),
}
seen = {}


def capture(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    """Stands in for the attention function: computes with the kernel asked for and keeps what went in and out."""
    kernel = seen["kernel"]
    if kernel == "eager":
        logits = torch.matmul(query, key.transpose(2, 3)) * scaling
        t, s = logits.shape[-2:]
        mask = torch.ones(t, s, dtype=torch.bool, device=logits.device).tril(s - t)
        logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
        weights = torch.softmax(logits, dim=-1, dtype=torch.float32).to(query.dtype)
        out = torch.matmul(weights, value)
    else:
        backend = {"flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION,
                   "cudnn": SDPBackend.CUDNN_ATTENTION, "math": SDPBackend.MATH}[kernel]
        padded = F.pad(value, [0, query.shape[-1] - value.shape[-1]]) if kernel == "flash" else value
        with sdpa_kernel(backend):
            out = F.scaled_dot_product_attention(query, key, padded, is_causal=True, scale=scaling)
        seen["padded_out"] = out.transpose(1, 2)
        out = out[..., : value.shape[-1]]
    seen.update(query=query, key=key, value=value, out=out.transpose(1, 2), scaling=scaling)
    return out.transpose(1, 2).contiguous(), None


def run(model_type, kernel, dtype, rows=96, scaling=None, seed=0):
    name, zoo, arguments = MODELS[model_type]
    torch.manual_seed(seed)
    module = importlib.import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    config = CONFIG_MAPPING[model_type](**arguments)
    config._attn_implementation = "capture"
    attention = getattr(module, name + "Attention")(config, 0).to("cuda", dtype)
    rotary = getattr(module, name + "RotaryEmbedding")(config).to("cuda")
    for parameter in attention.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=2.0 * parameter.shape[1] ** -0.5)
    if scaling is not None:
        attention.scaling = scaling
    hidden = torch.randn(1, rows, config.hidden_size, device="cuda", dtype=dtype)
    positions = torch.arange(rows, device="cuda")[None]
    seen.clear()
    seen["kernel"] = kernel
    with torch.no_grad():
        attention(hidden_states=hidden, position_embeddings=rotary(hidden, positions), attention_mask=None,
                  position_ids=positions)
    return zoo


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    out = parser.parse_args().out
    os.makedirs(out, exist_ok=True)
    ALL_ATTENTION_FUNCTIONS.register("capture", capture)
    truth = []

    def note(file, zoo, kernel, dtype, bug="healthy", notes=""):
        truth.append(dict(file=file, zoo=zoo, kernel=kernel, dtype=dtype, bug=bug, scaling=seen["scaling"], notes=notes))

    def cpu(*names):
        return {n: seen[n].cpu() for n in names}

    def attempt(job):
        try:
            job()
        except Exception as error:  # one format or kernel that fails must not cost the others
            truth.append(dict(file=job.__name__, error=f"{type(error).__name__}: {error}"[:300]))

    def v3_safetensors():
        for kernel in ("eager", "flash", "efficient", "cudnn"):
            zoo = run("deepseek_v3", kernel, torch.bfloat16)
            t = cpu("query", "key", "value", "out")
            file = f"v3_{kernel}_bf16.safetensors"
            save_file({"query_states": t["query"].contiguous(), "key_states": t["key"].contiguous(),
                       "value_states": t["value"].contiguous(), "attn_output": t["out"].contiguous()}, f"{out}/{file}")
            note(file, zoo, kernel, "bf16", notes="[B,H,T,D] in, [B,T,H,V] out")

    def v3_wrong():
        zoo = run("deepseek_v3", "flash", torch.bfloat16, scaling=576 ** -0.5)
        t = cpu("query", "key", "value", "out")
        save_file({k: v.contiguous() for k, v in t.items()}, f"{out}/v3_latent_width_bf16.safetensors")
        note("v3_latent_width_bf16.safetensors", zoo, "flash", "bf16", "scale.latent_width")

    def v3_padded():
        zoo = run("deepseek_v3", "flash", torch.bfloat16)
        t = cpu("query", "key", "value", "padded_out")
        save_file({"q": t["query"][0].transpose(0, 1).contiguous(), "k": t["key"][0].transpose(0, 1).contiguous(),
                   "v": F.pad(t["value"], [0, 64])[0].transpose(0, 1).contiguous(),
                   "out": t["padded_out"][0].contiguous()}, f"{out}/v3_padded_bf16.safetensors")
        note("v3_padded_bf16.safetensors", zoo, "flash", "bf16", notes="v and out zero-padded to 192, [T,H,D]")

    def v2_pt():
        zoo = run("deepseek_v2", "flash", torch.bfloat16)
        t = cpu("query", "key", "value", "out")
        # views: strided, and two tensors in one storage
        both = torch.cat([t["query"], t["key"]], dim=-1)
        width = t["query"].shape[-1]
        torch.save({"q": both[..., :width].transpose(1, 2), "k": both[..., width:].transpose(1, 2),
                    "v": t["value"].transpose(1, 2), "out": t["out"]}, f"{out}/v2_flash_bf16.pt")
        note("v2_flash_bf16.pt", zoo, "flash", "bf16", notes="strided views of a shared storage")
        zoo = run("deepseek_v2", "flash", torch.bfloat16, scaling=192 ** -0.5)
        t = cpu("query", "key", "value", "out")
        torch.save({k: v[0] if k == "out" else v[0].transpose(0, 1) for k, v in t.items()}, f"{out}/v2_mscale_omitted_bf16.pth")
        note("v2_mscale_omitted_bf16.pth", zoo, "flash", "bf16", "scale.mscale_omitted")
        os.makedirs(f"{out}/v2_tensors", exist_ok=True)
        zoo = run("deepseek_v2", "eager", torch.float16)
        for k, v in cpu("query", "key", "value", "out").items():
            torch.save(v[0] if k == "out" else v[0].transpose(0, 1), f"{out}/v2_tensors/{k}.pt")
        note("v2_tensors", zoo, "eager", "fp16", notes="one bare tensor a file")

    def glm_npz():
        zoo = run("glm4_moe_lite", "flash", torch.float16)
        t = {k: v.numpy() for k, v in cpu("query", "key", "value", "out").items()}
        np.savez(f"{out}/glm_flash_fp16.npz", **t)
        note("glm_flash_fp16.npz", zoo, "flash", "fp16", notes="stored")
        zoo = run("glm4_moe_lite", "efficient", torch.bfloat16)
        t = {k: v.float().numpy() for k, v in cpu("query", "key", "value", "out").items()}
        np.savez_compressed(f"{out}/glm_efficient_bf16_as_f32.npz", **t)
        note("glm_efficient_bf16_as_f32.npz", zoo, "efficient", "bf16", notes="deflated; float32 that fits bf16")

    def minicpm3_npy():
        zoo = run("minicpm3", "efficient", torch.float32)
        os.makedirs(f"{out}/minicpm3_npy", exist_ok=True)
        for k, v in cpu("query", "key", "value", "out").items():
            array = v[0].numpy() if k == "out" else v[0].transpose(0, 1).numpy()
            np.save(f"{out}/minicpm3_npy/{k}.npy", np.asfortranarray(array) if k == "key" else np.ascontiguousarray(array))
        note("minicpm3_npy", zoo, "efficient", "fp32", notes="one .npy a tensor, key in Fortran order")

    def v3_fp8():
        zoo = run("deepseek_v3", "flash", torch.bfloat16)
        q, k, v = (seen[n] for n in ("query", "key", "value"))
        tensors = {}
        rounded = []
        for name, x in (("q", q), ("k", k), ("v", v)):
            scale = x.abs().amax().float() / 448.0
            x8 = (x.float() / scale).to(torch.float8_e4m3fn)
            tensors[name] = x8[0].transpose(0, 1).contiguous().cpu()
            tensors[name + "_scale"] = scale.reshape(1).cpu()
            rounded.append((x8.float() * scale).to(torch.bfloat16))
        scale = 0.1352337788608801
        with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
            result = F.scaled_dot_product_attention(*rounded, is_causal=True, scale=scale)
        tensors["out"] = result[0].transpose(0, 1).contiguous().cpu()
        save_file(tensors, f"{out}/v3_fp8_inputs.safetensors")
        note("v3_fp8_inputs.safetensors", zoo, "efficient", "fp8", notes="e4m3fn inputs with scales; dequantised to bf16")

    def v3_varlen():
        parts = []
        for rows, seed in ((40, 1), (72, 2)):
            zoo = run("deepseek_v3", "flash", torch.bfloat16, rows=rows, seed=seed)
            parts.append({k: (v[0] if k == "out" else v[0].transpose(0, 1)) for k, v in cpu("query", "key", "value", "out").items()})
        tensors = {k: torch.cat([p[k] for p in parts]).contiguous() for k in parts[0]}
        tensors["cu_seqlens_q"] = tensors["cu_seqlens_k"] = torch.tensor([0, 40, 112], dtype=torch.int32)
        tensors = {k: v.clone() for k, v in tensors.items()}
        save_file(tensors, f"{out}/v3_varlen_bf16.safetensors")
        note("v3_varlen_bf16.safetensors", zoo, "flash", "bf16", notes="two requests, cu_seqlens")

    for job in (v3_safetensors, v3_wrong, v3_padded, v2_pt, glm_npz, minicpm3_npy, v3_fp8, v3_varlen):
        attempt(job)
    with open(f"{out}/truth.json", "w") as file:
        json.dump(truth, file, indent=1)
    for row in truth:
        print(row)


main()
