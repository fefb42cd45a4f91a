"""Each operation in PyTorch, written from its formula: a definition of FlashInfer-Bench has its function, with those that it calls.

Functions take arrays and numbers by the names of the catalogue. Arrays that are added to are returned anew.
"""

import torch


# ---- Parts -------------------------------------------------------------------------------------------------------


def exponentials(x):
    """Of each row, shifted by its largest number."""
    return torch.exp(x - x.amax(-1, keepdim=True))


def chosen(y, units, axis):
    """What is not chosen is 0."""
    return y if units is None else torch.zeros_like(y).index_copy(axis, units.long(), y.index_select(axis, units))


def plus(y, bias):
    return y if bias is None else y + bias


def in_steps(x):
    """Each row as whole steps of one size, few enough that sums of products with int8 are exact in 32 bits."""
    count = (x != 0).sum(-1, keepdim=True).clamp(min=1)
    step = x.abs().amax(-1, keepdim=True) / ((2**31 - 1) // (127 * count)).clamp(max=32767)
    return torch.where(step > 0, torch.round(x / step), 0), step


def whole(product, a, b):
    """A product of whole numbers, exact in float64, rounded once."""
    return torch.einsum(product, a.double(), b.double()).float()


def in_int8(x):
    """Each row as int8 with one scale."""
    scales = x.abs().amax(-1) / 127
    steps = torch.round(x / scales[..., None]).clamp(-127, 127)
    return torch.where(scales[..., None] > 0, steps, 0).to(torch.int8), scales


def key_heads_of(key_heads, H, key):
    """The key head that each head reads: neighbours share one where there is no list."""
    return torch.arange(H, device=key.device) * key.shape[0] // H if key_heads is None else key_heads


def capped(scores, cap):
    return cap * torch.tanh(scores / cap) if cap > 0 else scores


def seen(scores, W):
    """Which of S positions each of the last T tokens sees: its own and those before it, at most W."""
    T, S = scores.shape[-2:]
    position = torch.arange(S - T, S, device=scores.device)[:, None]
    s = torch.arange(S, device=scores.device)
    return (s <= position) & (s > position - W)


def normal(x, epsilon):
    """Of each row (x - mean) / sqrt(variance + epsilon), and 1 over that root."""
    off = x - x.mean(-1, keepdim=True)
    scale = 1 / torch.sqrt((off * off).mean(-1, keepdim=True) + epsilon)
    return off * scale, scale


def rms_normal(x, epsilon):
    scale = 1 / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon)
    return x * scale, scale


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def gelu_share(x):
    return sigmoid(1.5957691216057308 * x * (1 + 0.044715 * x * x))


# ---- Operations --------------------------------------------------------------------------------------------------


def embedding(table, ids):
    return table[ids].float()


def embedding_i8(table, scales, ids):
    return scales[ids][:, None] * table[ids]


def embedding_backward(table_grad, y_grad, ids):
    return table_grad.index_add(0, ids, y_grad)


def linear(x, weight, bias=None, rows=None):
    return chosen(plus(x @ weight.float().T, bias), rows, 1)


def linear_i8(x, weight, scales, bias=None, rows=None):
    q, step = in_steps(x)
    return chosen(plus(step * scales * whole("ti,oi->to", q, weight), bias), rows, 1)


def linear_input_major(x, weight, bias=None, inputs=None):
    if inputs is not None:
        x, weight = x[:, inputs], weight[inputs]
    return plus(x @ weight.float(), bias)


def linear_input_major_i8(x, weight, scales, bias=None, inputs=None):
    if inputs is not None:
        x, weight, scales = x[:, inputs], weight[inputs], scales[inputs]
    q, step = in_steps(x * scales)
    return plus(step * whole("ti,io->to", q, weight), bias)


def linear_backward_weight(weight_grad, y_grad, x, rows=None):
    return weight_grad + chosen(y_grad.T @ x, rows, 0)


def linear_backward_bias(bias_grad, y_grad, rows=None):
    return bias_grad + chosen(y_grad.sum(0), rows, 0)


def layer_norm(x, weight, bias, epsilon):
    return normal(x, epsilon)[0] * weight + bias


def layer_norm_backward(y_grad, x, weight, epsilon, weight_grad=None, bias_grad=None):
    n, scale = normal(x, epsilon)
    g = y_grad * weight
    x_grad = scale * ((g - g.mean(-1, keepdim=True)) - n * (g * n).mean(-1, keepdim=True))
    sums = [(weight_grad, y_grad * n), (bias_grad, y_grad)]
    return (x_grad, *(total + terms.sum(0) for total, terms in sums if total is not None))


def rms_norm(x, weight, epsilon):
    return rms_normal(x, epsilon)[0] * weight


def rms_norm_backward(y_grad, x, weight, epsilon, weight_grad=None):
    n, scale = rms_normal(x, epsilon)
    g = y_grad * weight
    x_grad = scale * (g - n * (g * n).mean(-1, keepdim=True))
    return x_grad if weight_grad is None else (x_grad, weight_grad + (y_grad * n).sum(0))


def rotary(x, table):
    """Number i and number i + M of each head turn by the angle of their token; `table` has cosines, then sines."""
    M = table.shape[1] // 2
    cos, sin = table[:, None, :M], table[:, None, M : 2 * M]
    first, second = x[..., :M], x[..., M : 2 * M]
    return torch.cat((first * cos - second * sin, second * cos + first * sin, x[..., 2 * M :]), -1)


def rotary_backward(y_grad, table):
    M = table.shape[1] // 2
    return rotary(y_grad, torch.cat((table[:, :M], -table[:, M:]), 1))


def cache_append(cache, x, P, heads=None):
    h = torch.arange(x.shape[1], device=x.device) if heads is None else heads
    cache = cache.clone()
    cache[h, P : P + x.shape[0]] = x.transpose(0, 1)[h]
    return cache


def cache_append_i8(cache, scales, x, P, heads=None):
    numbers, own = in_int8(x)
    return cache_append(cache, numbers, P, heads), cache_append(scales, own, P, heads)


def attention(query, key, value, scale, cap, S, W, heads=None, key_heads=None):
    g = key_heads_of(key_heads, query.shape[1], key)
    scores = capped(torch.einsum("thk,hsk->hts", query * scale, key[g, :S]), cap)
    powers = exponentials(scores.where(seen(scores, W), -torch.inf))
    weights = powers / powers.sum(-1, keepdim=True)
    return chosen(torch.einsum("hts,hsk->thk", weights, value[g, :S]), heads, 1)


def attention_i8(query, key, key_scales, value, value_scales, scale, cap, S, W, heads=None, key_heads=None):
    g = key_heads_of(key_heads, query.shape[1], key)
    q, step = in_steps((query * scale).transpose(0, 1))
    scores = capped(step * key_scales[g, None, :S] * whole("htk,hsk->hts", q, key[g, :S]), cap)
    powers = exponentials(scores.where(seen(scores, W), -torch.inf))
    factors = powers * value_scales[g, None, :S]
    y = torch.zeros_like(q)
    for first in range(0, S, 64):
        numbers, size = in_steps(factors[..., first : first + 64])
        y = y + size * whole("hts,hsk->htk", numbers, value[g, first : first + numbers.shape[-1]])
    return chosen((y / powers.sum(-1, keepdim=True)).transpose(0, 1).contiguous(), heads, 1)


def attention_backward(y_grad, query, key, value, scale, cap, W):
    T, H, K = query.shape
    g = key_heads_of(None, H, key)
    keys, values = key[g, :T], value[g, :T]
    scores = capped(torch.einsum("thk,hsk->hts", query * scale, keys), cap)
    powers = exponentials(scores.where(seen(scores, W), -torch.inf))
    weights = powers / powers.sum(-1, keepdim=True)
    moved = torch.einsum("thk,hsk->hts", y_grad, values)
    score_grad = weights * (moved - (weights * moved).sum(-1, keepdim=True))
    if cap > 0:
        score_grad = score_grad * (1 - (scores / cap) ** 2)
    zeros = torch.zeros((T, *key.shape[::2]), dtype=query.dtype, device=query.device)
    return (
        torch.einsum("hts,hsk->thk", score_grad, keys) * scale,
        zeros.index_add(1, g, torch.einsum("hts,thk->shk", score_grad, query * scale)),
        zeros.index_add(1, g, torch.einsum("hts,thk->shk", weights, y_grad)),
    )


def relu(x):
    return torch.where(x > 0, x, 0)


def relu_backward(y_grad, x):
    return torch.where(x > 0, y_grad, 0)


def relu_gate(gate, up):
    return torch.where(gate > 0, gate * up, 0)


def relu_gate_backward(y_grad, gate, up):
    return torch.where(gate > 0, y_grad * up, 0), torch.where(gate > 0, y_grad * gate, 0)


def silu_gate(gate, up):
    return gate * sigmoid(gate) * up


def silu_gate_backward(y_grad, gate, up):
    s = sigmoid(gate)
    return y_grad * up * (s * (1 + gate * (1 - s))), y_grad * (gate * s)


def gelu_tanh_gate(gate, up):
    return gate * gelu_share(gate) * up


def gelu_tanh_gate_backward(y_grad, gate, up):
    s = gelu_share(gate)
    slope = 1.5957691216057308 * (1 + 3 * 0.044715 * gate * gate)
    return y_grad * up * (s * (1 + gate * (1 - s) * slope)), y_grad * (gate * s)


def soft_cap(x, cap):
    return capped(x, cap)


def soft_cap_backward(y_grad, x, cap):
    return y_grad * (1 - torch.tanh(x / cap) ** 2) if cap > 0 else y_grad


def add(a, b):
    return a + b


def mask_units(x, mask):
    return x * mask[:, None]


def exp(x):
    return torch.exp(x)


def log(x):
    return torch.log(x)


def softmax(x):
    powers = exponentials(x)
    return powers / powers.sum(-1, keepdim=True)


def softmax_backward(y_grad, y):
    return y * (y_grad - (y_grad * y).sum(-1, keepdim=True))


def log_sum_exp(x):
    return x.amax(-1) + torch.log(exponentials(x).sum(-1))


def log_sum_exp_backward(y_grad, x, y):
    return y_grad[:, None] * torch.exp(x - y[:, None])


def cross_entropy(logits, labels):
    """0 where the label is -100."""
    own = logits.gather(1, labels.clamp(min=0).long()[:, None])[:, 0]
    return torch.where(labels == -100, 0, log_sum_exp(logits) - own)


def cross_entropy_backward(nll_grad, logits, labels):
    units = torch.arange(logits.shape[1], device=logits.device)
    off = softmax(logits) - (units == labels[:, None]).float()
    return torch.where(labels[:, None] == -100, 0, nll_grad[:, None] * off)


def mse(prediction, target):
    return ((prediction - target) ** 2).mean()[None]


def mse_backward(loss_grad, prediction, target):
    return loss_grad * 2 / len(target) * (prediction - target)


def bce(logits, target, negative_weight):
    costs = torch.where(logits > 0, logits, 0) - logits * target + torch.log(1 + torch.exp(-logits.abs()))
    return ((target * (1 - negative_weight) + negative_weight) * costs).mean()[None]


def bce_backward(loss_grad, logits, target, negative_weight):
    weight = target * (1 - negative_weight) + negative_weight
    return loss_grad / len(target) * (weight * (sigmoid(logits) - target))


def min_max(x):
    """0 for a constant row."""
    least = x.amin(-1, keepdim=True)
    width = x.amax(-1, keepdim=True) - least
    return torch.where(width > 0, (x - least) / width, 0)


def sum(total, x):
    return total + x.sum()


def sum_squares(total, x):
    return total + (x * x).sum()


def adamw_step(weight, mean, square, grad, rate, beta1, beta2, epsilon, decay, correction1, correction2):
    mean = beta1 * mean + (1 - beta1) * grad
    square = beta2 * square + (1 - beta2) * (grad * grad)
    step = rate * (mean / correction1) / (torch.sqrt(square / correction2) + epsilon)
    return weight * (1 - rate * decay) - step, mean, square


def top_k(scores, R):
    """Ascending by index; ties go to the lower index."""
    return torch.sort(torch.sort(scores, descending=True, stable=True).indices[:R]).values.int()


def transpose(x):
    return x.T.contiguous()


def narrow_bf16(x):
    return x.to(torch.bfloat16)


def narrow_f16(x):
    return x.to(torch.float16)


def quantize_rows(x):
    return in_int8(x)


def copy_rows(y, x, rows, slots=None):
    """One after the other: where two have one slot, the later stays."""
    y = y.clone()
    for r in range(len(rows)):
        y[r if slots is None else slots[r]] = x[rows[r]]
    return y


# ---- The method --------------------------------------------------------------------------------------------------


def plainact(a, g, K):
    return (a * g).reshape(len(a), -1, K).sum(-1).abs().sum(0)


def predict(context, w1, b1, w2, b2, epsilon):
    return relu(normal(context[-1:], epsilon)[0] @ w1.T + b1)[0] @ w2.T + b2
