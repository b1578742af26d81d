"""MLACommonImpl as of vLLM 00a817ad: forward runs both phases; the prefill function is an attribute."""
import numbers_of_a_layer as layer
import torch
from vllm import paged


class MLACommonImpl:
    dcp_world_size = None

    def __init__(self, scale):
        self.scale = scale
        self.num_heads, self.kv_lora_rank = layer.HEADS, layer.RANK
        self.qk_nope_head_dim, self.qk_rope_head_dim, self.v_head_dim = layer.NOPE, layer.ROPE, layer.V
        self.weights = layer.Weights()
        self.W_UK_T, self.W_UV = paged.projections(self.weights)
        self._run_prefill_new_tokens = self._run_prefill_new_tokens_fa

    def _run_prefill_new_tokens_fa(self, prefill, q, k, v, return_softmax_lse):
        lengths = [b - a for a, b in zip(prefill.query_start_loc.tolist(), prefill.query_start_loc.tolist()[1:])]
        out, lse = paged.causal(lengths, q.tolist(), k.tolist(), v.tolist(), self.scale)
        return (torch.tensor(out), torch.tensor(lse)) if return_softmax_lse else torch.tensor(out)

    def forward(self, layer, q, k_c_normed, k_pe, kv_cache, attn_metadata, output=None, output_scale=None, output_block_scale=None):
        if attn_metadata is None:
            return output
        impl = self

        class New:
            scale = impl.scale

            @staticmethod
            def run(q, k, v):
                tensors = dict(q=torch.tensor(q), k=torch.tensor(k), v=torch.tensor(v))
                return impl._run_prefill_new_tokens(prefill=attn_metadata.prefill, **tensors, return_softmax_lse=False).tolist()

        output.rows = paged.run(self.batch, self.weights, self.scale, New)
        output.tensor = torch.tensor(output.rows)
        return output
