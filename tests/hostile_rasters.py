"""Images that are something else, damaged, far too large, badly placed or full of odd values; and odd pairs of them."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from hostile_case import Case, Make, altered, beside, cut, data, put, text
from hostile_tiff import MARS, PLACE, SIDE_PX, UTM, bare_tiff, hollow, looped, noise, tiff, with_tag
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_origin


def _png() -> bytes:
    """A picture of one grey pixel."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\7")),
        (b"IEND", b""),
    ]
    framed = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _vrt(source: str, side_px: int = SIDE_PX, subclass: str = "", inside: str = "") -> Make:
    """A GDAL virtual dataset of one band over another file, or of the given kind of band."""
    simple = f'<SimpleSource><SourceFilename relativeToVRT="0">{source}</SourceFilename></SimpleSource>'
    kind = f' subClass="{subclass}"' if subclass else ""
    return text(
        f'<VRTDataset rasterXSize="{side_px}" rasterYSize="{side_px}"><SRS>{UTM}</SRS>'
        "<GeoTransform>600000, 10, 0, 700000, 0, -10</GeoTransform>"
        f'<VRTRasterBand dataType="UInt16" band="1"{kind}>{inside or simple}</VRTRasterBand></VRTDataset>'
    )


PYTHON_BAND = (
    "<PixelFunctionType>mark</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>"
    "<PixelFunctionCode><![CDATA[\ndef mark(*a, **k):\n    open('@MARKS@/vrt', 'w').close()\n]]></PixelFunctionCode>"
)
RAW_BAND = (
    '<SourceFilename relativeToVRT="0">@SECRET@/note.txt</SourceFilename><ImageOffset>0</ImageOffset>'
    "<PixelOffset>1</PixelOffset><LineOffset>1</LineOffset>"
)
WMS = (
    '<GDAL_WMS><Service name="TMS"><ServerUrl>@URL@/${z}/${x}/${y}.png</ServerUrl></Service><DataWindow>'
    "<UpperLeftX>-20037508</UpperLeftX><UpperLeftY>20037508</UpperLeftY><LowerRightX>20037508</LowerRightX>"
    "<LowerRightY>-20037508</LowerRightY><TileLevel>1</TileLevel><TileCountX>1</TileCountX>"
    "<TileCountY>1</TileCountY><YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection>"
    "<BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>3</BandsCount></GDAL_WMS>"
)
MRF = (
    "<MRF_META><CachedSource><Source>@SECRET@/image.tif</Source></CachedSource><Raster>"
    '<Size x="64" y="64" c="1"/><PageSize x="64" y="64" c="1"/><Compression>NONE</Compression>'
    "<DataType>UInt16</DataType><DataFile>@MARKS@/mrf.bin</DataFile><IndexFile>@MARKS@/mrf.idx</IndexFile>"
    "</Raster></MRF_META>"
)
GTI = (
    "<GDALTileIndexDataset><IndexDataset>@SECRET@/index.geojson</IndexDataset>"
    "<LocationField>location</LocationField><ResX>10</ResX><ResY>10</ResY><MinX>600000</MinX><MinY>699360</MinY>"
    f"<MaxX>600640</MaxX><MaxY>700000</MaxY><BandCount>1</BandCount><DataType>UInt16</DataType><SRS>{UTM}</SRS>"
    "</GDALTileIndexDataset>"
)
PAM = (
    "<PAMDataset><SRS>EPSG:4326</SRS><GeoTransform>-1, 1e-4, 0, 6, 0, -1e-4</GeoTransform>"
    '<PAMRasterBand band="1"><NoDataValue>100</NoDataValue><Description>TAMPERED</Description></PAMRasterBand>'
    "</PAMDataset>"
)


def _points() -> list[GroundControlPoint]:
    corners = [(0, 0), (0, SIDE_PX), (SIDE_PX, SIDE_PX), (SIDE_PX, 0)]
    return [GroundControlPoint(row=r, col=c, x=600_000 + 10 * c, y=700_000 - 10 * r) for r, c in corners]


def _gaps() -> npt.NDArray[Any]:
    pixels = noise("float32")
    pixels[:, :8] = math.nan
    pixels[0, 9], pixels[1, 9], pixels[2, 10] = math.inf, -math.inf, 3e38
    return pixels


def _case(name: str, what: str, make: Make, *refuse: str, told: str = "") -> Case:
    return Case("raster", f"r_{name}", f"{name}.tif", what, make, refuse, told)


def _pair(name: str, what: str, make: Make, *refuse: str, told: str = "") -> Case:
    return Case("pair", f"p_{name}", f"{name}.tif", what, make, refuse, told, "raster/good.tif")


GOOD = tiff()
PACKED = tiff(compress="deflate")

DISGUISED = [
    _case("vrt_file", "VRT over another user's image", _vrt("@SECRET@/image.tif"), "NOT_TIFF"),
    _case("vrt_url", "VRT over a URL", _vrt("/vsicurl/@URL@/a.tif"), "NOT_TIFF"),
    _case(
        "vrt_header",
        "VRT over a URL, sending a local file along",
        _vrt("/vsicurl?header_file=@SECRET@/note.txt&amp;url=@URL@/b.tif"),
        "NOT_TIFF",
    ),
    _case("vrt_raw", "VRT that reads text as pixels", _vrt("", 4, "VRTRawRasterBand", RAW_BAND), "NOT_TIFF"),
    _case("vrt_python", "VRT that runs Python", _vrt("", 8, "VRTDerivedRasterBand", PYTHON_BAND), "NOT_TIFF"),
    _case("wms", "description of a tile service", text(WMS), "NOT_TIFF"),
    _case("mrf", "MRF, which writes a cache where it says", text(MRF), "NOT_TIFF"),
    _case("gti", "tile index over another user's image", text(GTI), "NOT_TIFF"),
    _case("xyz", "points as text", text("x y z\n1 1 1\n2 1 2\n1 0 3\n2 0 4\n"), "NOT_TIFF"),
    _case("png", "PNG picture", data(_png()), "NOT_TIFF"),
    _case("html", "web page", text("<!doctype html><title>404</title>"), "NOT_TIFF"),
    _case("empty", "no byte at all", data(b""), "EMPTY"),
]
DAMAGED = [
    _case("magic", "the four magic bytes alone", data(b"II*\0"), "CORRUPT"),
    _case("cut_head", "cut within the header", altered(GOOD, cut(0.008)), "CORRUPT"),
    _case("cut_pixels", "cut within the pixels; opens without error", altered(GOOD, cut(0.66)), "CORRUPT"),
    _case("cut_packed", "cut within compressed pixels", altered(PACKED, cut(0.66)), "CORRUPT"),
    _case("ifd_far", "first IFD beyond the end", altered(GOOD, put(4, b"\xf0\xff\xff\xff")), "CORRUPT"),
    _case("strips_far", "pixels said to lie beyond the end", altered(GOOD, with_tag(273, 2**32 - 16)), "CORRUPT"),
    _case("codec", "compressed by a method nobody knows", altered(GOOD, with_tag(259, 31_337)), "CORRUPT"),
    _case("worn", "40 damaged bytes in a packed strip", altered(PACKED, put(9_000, b"\xff" * 40)), "CORRUPT"),
    _case("worn_plain", "40 damaged bytes in plain pixels; nothing can notice", altered(GOOD, put(9_000, bytes(40)))),
    _case("ifd_loop", "list of IFDs without end", altered(GOOD, looped)),
]
HUGE = [
    _case("claims", "a header that claims 10^12 pixels", data(bare_tiff(10**6, 10**6)), "TOO_BIG"),
    _case("hollow", "10^12 pixels of which none is stored", hollow(10**6, 16_384, "uint8"), "TOO_BIG"),
    _case("wide", "40,000 pixels a side", hollow(40_000, 512, "uint8"), "TOO_BIG"),
    _case("deep", "25,000 pixels a side, 5 GB", hollow(25_000, 512, "float64"), "TOO_BIG"),
    _case("zeros", "4 million zeros in a few kB", tiff(np.zeros((1, 2048, 2048), np.uint8), compress="deflate")),
    _case("bands", "300 bands", tiff(np.ones((300, 2, 2), np.uint8), interleave="band", bands=()), "BAND_COUNT"),
    _case("block", "one tile of 128 MB", hollow(20_000, 16_384, "uint8"), "BLOCK_TOO_BIG"),
]
SIDECARS = [
    _case(
        "ovr", "overviews beside it are a VRT", beside(GOOD, "+.ovr", _vrt("@SECRET@/image.tif", 32)), told="ignored"
    ),
    _case("msk", "the mask beside it is a VRT", beside(GOOD, "+.msk", _vrt("@SECRET@/image.tif")), told="ignored"),
    _case("aux", "another CRS, place and nodata beside it", beside(GOOD, "+.aux.xml", text(PAM)), told="ignored"),
    _case(
        "tfw",
        "its place stands in a .tfw alone",
        beside(tiff(crs=None, transform=None), ".tfw", text("10\n0\n0\n-10\n600005\n699995\n")),
        "NO_CRS",
        "NO_TRANSFORM",
    ),
    _case(
        "tab",
        "its place stands in a .tfw, its CRS inside",
        beside(tiff(transform=None), ".tfw", text("10\n0\n0\n-10\n600005\n699995\n")),
        "NO_TRANSFORM",
    ),
    _case(
        "inner_ovr",
        "names another user's image as its overview",
        tiff(tags=("OVERVIEWS", "OVERVIEW_FILE", "@SECRET@/image.tif")),
        "OVERVIEWS",
        "CORRUPT",
    ),
]
PLACES = [
    _case("no_crs", "no CRS", tiff(crs=None), "NO_CRS"),
    _case("no_place", "no geotransform", tiff(transform=None), "NO_TRANSFORM"),
    _case("turned", "turned by 30 degrees", tiff(transform=PLACE @ Affine.rotation(30)), "ROTATED"),
    _case("sheared", "sheared", tiff(transform=PLACE @ Affine.shear(10, 0)), "ROTATED"),
    _case("mirrored", "east to west", tiff(transform=Affine(-10, 0, 600_640, 0, -10, 700_000)), "ROTATED"),
    _case(
        "south_up", "first row in the south", tiff(transform=Affine(10, 0, 600_000, 0, 10, 699_360)), told="was flipped"
    ),
    _case("oblong", "pixels of 10 x 20 m", tiff(transform=from_origin(600_000, 700_000, 10, 20))),
    _case("no_size", "pixels of no size", tiff(transform=Affine(0, 0, 6e5, 0, 0, 7e5)), "NO_TRANSFORM"),
    _case(
        "nan_place", "a place that is no number", tiff(transform=Affine(math.nan, 0, 6e5, 0, -10, 7e5)), "NO_TRANSFORM"
    ),
    _case("gcp", "ground control points alone", tiff(transform=None, points=_points()), "GCP_ONLY"),
    _case("degrees", "degrees", tiff(crs="EPSG:4326", transform=from_origin(-2, 6, 1e-4, 1e-4))),
    _case("feet", "US survey feet", tiff(crs="EPSG:2277", transform=from_origin(3e6, 1e7, 30, 30))),
    _case("mercator", "Web Mercator at 63 degrees", tiff(crs="EPSG:3857", transform=from_origin(-1e5, 9e6, 10, 10))),
    _case("pole", "the South Pole lies in it", tiff(crs="EPSG:3031", transform=from_origin(-320, 320, 10, 10))),
    _case(
        "dateline",
        "lies on both sides of 180 degrees",
        tiff(crs="EPSG:32601", transform=from_origin(100_000, 700_000, 10_000, 10_000)),
    ),
    _case("local", "a CRS of somebody's own", tiff(crs=CRS.from_wkt('LOCAL_CS["x",UNIT["metre",1]]')), "CRS_UNUSABLE"),
    _case("mars", "on Mars", tiff(crs=CRS.from_wkt(MARS), transform=from_origin(-2, 6, 1e-4, 1e-4)), "CRS_UNUSABLE"),
    _case("neighbour", "another UTM zone", tiff(crs="EPSG:32631", transform=from_origin(-60_000, 700_000, 10, 10))),
]
VALUES = [
    _case("good", "nothing is wrong", GOOD),
    _case("gaps", "NaN, infinities and 3e38 without a nodata tag", tiff(_gaps())),
    _case("all_nan", "not one number", tiff(np.full((3, 64, 64), math.nan, np.float32)), "NO_VALID_PIXELS"),
    _case("all_nodata", "nodata alone", tiff(np.zeros((3, 64, 64), np.uint16), nodata=0), "NO_VALID_PIXELS"),
    _case(
        "beyond", "1e300 everywhere, which float32 cannot hold", tiff(np.full((3, 64, 64), 1e300)), "NO_VALID_PIXELS"
    ),
    _case("constant", "one value", tiff(np.full((3, 64, 64), 7, np.uint16))),
    _case("negative", "int16 with negatives and nodata", tiff(noise("int16", low=-9999), nodata=-9999)),
    _case("bytes", "uint8", tiff(noise("uint8", low=0, high=255))),
    _case("complex", "complex numbers", tiff(np.ones((1, 64, 64), np.complex64)), "DTYPE"),
    _case(
        "palette", "a palette picture", tiff(np.zeros((1, 64, 64), np.uint8), colours={0: (1, 2, 3, 255)}), "PALETTE"
    ),
    _case("one_band", "one band", tiff(noise(count=1))),
    _case("twelve_bands", "twelve bands", tiff(noise(count=12))),
    _case("nameless", "bands without names", tiff(bands=())),
]
RASTERS = [*DISGUISED, *DAMAGED, *HUGE, *SIDECARS, *PLACES, *VALUES]

PAIRS = [
    _pair("order", "bands in another order", tiff(bands=("B4", "B3", "B2")), told="picked by name"),
    _pair("shifted", "half a pixel away", tiff(transform=PLACE @ Affine.translation(0.5, 0.5)), told="was warped"),
    _pair("far", "another place", tiff(transform=from_origin(900_000, 200_000, 10, 10)), "NO_OVERLAP"),
    _pair(
        "coarse",
        "pixels of 20 m",
        tiff(noise()[:, :32, :32], transform=from_origin(6e5, 7e5, 20, 20)),
        told="was warped",
    ),
    _pair("coarser", "pixels of 60 m", tiff(transform=from_origin(6e5, 7e5, 60, 60)), "PIXEL_SIZE"),
    _pair("unit", "reflectance from 0 to 1", tiff(noise("float32", low=0.01, high=0.3)), told="times 10000"),
    _pair("other_bands", "none of the first one's bands", tiff(bands=("B8", "B11", "B12")), "BandMismatch"),
]
