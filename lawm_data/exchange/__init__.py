"""The one door to foreign formats: addresses, import and export."""

from lawm_data.exchange.address import Address as Address
from lawm_data.exchange.address import parse_address as parse_address
from lawm_data.exchange.exporting import Exported as Exported
from lawm_data.exchange.exporting import export_corpus as export_corpus
from lawm_data.exchange.importing import Imported as Imported
from lawm_data.exchange.importing import import_corpus as import_corpus
