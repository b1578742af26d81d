"""MLAAttention as of vLLM 0014ca6b: the layer owns the prefill backend; forward_impl runs both phases."""
import numbers_of_a_layer as layer
import torch
from vllm import paged


class FlashAttnPrefillBackend:
    def __init__(self, scale):
        self.scale = scale
        self.lengths = []

    def run_prefill_new_tokens(self, q, k, v, return_softmax_lse):
        out, lse = paged.causal(self.lengths, q.tolist(), k.tolist(), v.tolist(), self.scale)
        return (torch.tensor(out), torch.tensor(lse)) if return_softmax_lse else torch.tensor(out)


class Impl:
    dcp_world_size = 1

    def __init__(self, scale):
        self.scale = scale


class MLAAttention:
    def __init__(self, scale, prefill_scale=None, layer_name="model.layers.1.self_attn.attn"):
        self.layer_name = layer_name
        self.num_heads, self.kv_lora_rank = layer.HEADS, layer.RANK
        self.qk_nope_head_dim, self.qk_rope_head_dim, self.v_head_dim = layer.NOPE, layer.ROPE, layer.V
        self.impl = Impl(scale)
        self.prefill_backend = FlashAttnPrefillBackend(scale if prefill_scale is None else prefill_scale)
        self.weights = layer.Weights()
        self.W_UK_T, self.W_UV = paged.projections(self.weights)

    def forward_impl(self, q, k_c_normed, k_pe, kv_cache, attn_metadata, output, output_scale=None):
        if attn_metadata is None:
            return output
        backend = self.prefill_backend
        backend.lengths = [len(r.q) for r in self.batch.requests[attn_metadata.num_decodes :]]

        class New:
            scale = backend.scale

            @staticmethod
            def run(q, k, v):
                tensors = (torch.tensor(x) for x in (q, k, v))
                return backend.run_prefill_new_tokens(*tensors, return_softmax_lse=True)[0].tolist()

        output.rows = paged.run(self.batch, self.weights, self.impl.scale, New)
        output.tensor = torch.tensor(output.rows)
        return output


class Output:
    """An output buffer that is filled in place."""

    @property
    def shape(self):
        return self.tensor.shape

    def reshape(self, *shape):
        return self.tensor.reshape(*shape)
