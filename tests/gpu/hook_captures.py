#!/usr/bin/env python3
"""Runs small random models of transformers with the hook of `mla-scale hook transformers`.

Needs torch with CUDA, transformers and safetensors. For each model, once as it is and once with a
wrong softmax scale patched in, writes a capture and a truth.json like that of
testdata/captures/transformers:

    python3 tests/gpu/hook_captures.py --hook mla_hook.py --out DIR
"""
import argparse
import importlib.util
import json
import os
import time
import warnings

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

warnings.filterwarnings("ignore")
YARN = dict(
    rope_type="yarn", factor=40.0, original_max_position_embeddings=4096, beta_fast=32.0, beta_slow=1.0, rope_theta=10000.0
)
SMALL = dict(
    num_attention_heads=4, num_key_value_heads=4, hidden_size=256, num_hidden_layers=2, q_lora_rank=64, vocab_size=512,
    intermediate_size=256, moe_intermediate_size=64, n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1,
    first_k_dense_replace=2,
)
V3_DIMS = dict(kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128, max_position_embeddings=163840)
GLM_DIMS = dict(kv_lora_rank=512, qk_nope_head_dim=192, qk_rope_head_dim=64, v_head_dim=256, max_position_embeddings=202752)
# name: model_type, config of testdata/zoo whose widths and rope it has, arguments
MODELS = {
    "v3": ("deepseek_v3", "deepseek-ai--DeepSeek-V3",
           dict(SMALL, **V3_DIMS, rope_parameters=dict(YARN, mscale=1.0, mscale_all_dim=1.0))),
    "v2": ("deepseek_v2", "deepseek-ai--DeepSeek-V2-Lite",
           dict(SMALL, **V3_DIMS, rope_parameters=dict(YARN, mscale=0.707, mscale_all_dim=0.707))),
    "glm": ("glm4_moe_lite", "zai-org--GLM-4.7-Flash",
            dict(SMALL, **GLM_DIMS, rope_parameters=dict(rope_type="default", rope_theta=1000000.0))),
    "glm_dsa": ("glm_moe_dsa", "zai-org--GLM-5",
                dict(SMALL, **GLM_DIMS, rope_parameters=dict(rope_type="default", rope_theta=1000000.0))),
    "minicpm3": ("minicpm3", "openbmb--MiniCPM3-4B",
                 dict(SMALL, kv_lora_rank=256, qk_nope_head_dim=64, qk_rope_head_dim=32, v_head_dim=64,
                      max_position_embeddings=32768, rope_parameters=dict(rope_type="default", rope_theta=10000.0))),
}
# name of the file, model, attention, rows, wrong scale or None, what check must say, settings of the hook
CASES = [
    ("v3_sdpa", "v3", "sdpa", 96, None, "healthy", {}),
    ("v3_eager", "v3", "eager", 96, None, "healthy", {}),
    ("v3_flex", "v3", "flex_attention", 128, None, "healthy", {}),
    ("v3_flash", "v3", "flash_attention_2", 96, None, "healthy", {}),
    ("v3_padded", "v3", "sdpa", 96, None, "healthy", {"padding": 17}),
    ("v3_cropped", "v3", "sdpa", 300, None, "healthy", {"tokens": 64, "heads": 2}),
    ("v3_decode", "v3", "sdpa", 96, None, "healthy", {"phases": "decode"}),
    ("v3_latent_width", "v3", "sdpa", 96, 576**-0.5, "scale.latent_width", {}),
    ("v2_sdpa", "v2", "sdpa", 96, None, "healthy", {}),
    ("v2_mscale_omitted", "v2", "sdpa", 96, 192**-0.5, "scale.mscale_omitted", {}),
    ("v2_small", "v2", "sdpa", 64, 192**-0.5, "scale.mscale_omitted", {"heads": 1, "tokens": 48}),
    ("v3_small", "v3", "sdpa", 64, None, "healthy", {"heads": 1, "tokens": 48}),
    ("glm_sdpa", "glm", "sdpa", 96, None, "healthy", {}),
    ("glm_latent_width", "glm", "eager", 96, 576**-0.5, "scale.latent_width", {}),
    ("glm_dsa_sdpa", "glm_dsa", "sdpa", 96, None, "healthy", {}),
    ("glm_dsa_latent_width", "glm_dsa", "sdpa", 96, 576**-0.5, "scale.latent_width", {}),
    ("minicpm3_sdpa", "minicpm3", "sdpa", 96, None, "healthy", {}),
    ("minicpm3_latent_width", "minicpm3", "sdpa", 96, (256 + 32) ** -0.5, "scale.latent_width", {}),
]


def load(path):
    specification = importlib.util.spec_from_file_location("mla_hook", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def build(name, attention, seed):
    model_type, _, arguments = MODELS[name]
    torch.manual_seed(seed)
    config = CONFIG_MAPPING[model_type](**arguments)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.bfloat16)
    for parameter_name, parameter in model.named_parameters():
        if parameter.dim() == 2 and "attn" in parameter_name:  # logits of the size that real models have
            torch.nn.init.normal_(parameter, std=1.5 * parameter.shape[1] ** -0.5)
    return model.to("cuda").eval()


def run(hook, case, out):
    file, name, attention, rows, scale, bug, settings = case
    settings = dict(settings)
    padding = settings.pop("padding", 0)
    model = build(name, attention, 7)
    latent = [m for m in model.modules() if hasattr(m, "kv_b_proj")]
    for module in latent:
        if scale is not None:
            module.scaling = scale
    tokens = torch.randint(0, 512, (2, rows), device="cuda")
    mask = torch.ones_like(tokens)
    mask[0, :padding] = 0
    forward = dict(input_ids=tokens, attention_mask=mask if padding else None, use_cache=True)
    with torch.no_grad():
        before = model(**forward)
        folder = os.path.join(out, "work")
        undo = hook.install(model, layers="1", folder=folder, **settings)
        after = model(**forward)
        if "decode" in settings.get("phases", ""):
            model(input_ids=tokens[:, :1], past_key_values=after.past_key_values)
        undo()
        again = model(**forward)
    same = torch.equal(before.logits, after.logits) and torch.equal(before.logits, again.logits)
    phase = settings.get("phases", "prefill")
    written = os.path.join(folder, f"layer1.{phase}.rank0.safetensors")
    os.replace(written, os.path.join(out, file + ".safetensors"))
    return dict(file=file + ".safetensors", zoo=MODELS[name][1], kernel=attention, bug=bug, same_result=same,
                scaling=float(latent[1].scaling))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hook", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    hook = load(options.hook)
    truth = []
    for case in CASES:
        start = time.time()
        try:
            row = run(hook, case, options.out)
        except Exception as error:  # a model or kernel that this machine lacks must not cost the others
            row = dict(file=case[0], error=f"{type(error).__name__}: {error}"[:300])
        truth.append(row)
        print(round(time.time() - start, 1), row, flush=True)
    with open(os.path.join(options.out, "truth.json"), "w") as file:
        json.dump(truth, file, indent=1)


main()
