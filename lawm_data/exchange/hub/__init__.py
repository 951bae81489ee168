"""Corpora on the Hugging Face Hub: published, pulled, and streamed."""

from lawm_data.exchange.hub.pull import Pulled as Pulled
from lawm_data.exchange.hub.pull import pull as pull
from lawm_data.exchange.hub.push import Pushed as Pushed
from lawm_data.exchange.hub.push import push as push
from lawm_data.exchange.hub.stream import Stream as Stream
from lawm_data.exchange.hub.stream import stream as stream
