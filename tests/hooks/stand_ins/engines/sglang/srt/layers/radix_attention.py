"""RadixAttention as of SGLang 0088621c."""
import numbers_of_a_layer as layer
import torch


class RadixAttention(torch.nn.Module):
    def __init__(self, num_heads, head_dim, scaling, num_kv_heads, layer_id, v_head_dim):
        super().__init__()
        self.tp_q_head_num, self.tp_k_head_num, self.tp_v_head_num = num_heads, num_kv_heads, num_kv_heads
        self.qk_head_dim = self.head_dim = head_dim
        self.v_head_dim, self.scaling, self.layer_id = v_head_dim, scaling, layer_id

    def forward(self, q, k, v, forward_batch, save_kv_cache=True, **kwargs):
        out, lse = forward_batch.backend(self, q, k, v, **kwargs)
        out = torch.tensor(out)
        out = out.reshape(out.shape[0], self.tp_q_head_num * self.v_head_dim)
        return (out, torch.tensor(lse)) if forward_batch.mha_return_lse and lse is not None else out
